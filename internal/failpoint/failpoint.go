// Package failpoint marks the places where a crash matters, so that a test can have the process killed at each of them. Without the build tag
// "failpoints", as in every release, a mark is an empty function that is inlined away, and nothing of it is in the program.
//
// With the tag a variable of the environment (see [At]) says where a process kills itself, by SIGKILL and not by an end of its own: "journal.synced"
// at the first time that it comes there, "journal.synced:3" at the third. `go run ./internal/soak` goes through all of [Points].
package failpoint

import "strconv"

// A Point is a place in the program.
type Point string

// The places. Each is marked where it says in one line; [Points] lists them.
const (
	PartMade    Point = "part.made"    // internal/atomicfile: there is a part file, empty
	PartFilled  Point = "part.filled"  // it is whole, and not on disk
	PartSynced  Point = "part.synced"  // it is on disk, without its name
	PartRenamed Point = "part.renamed" // it has its name, which is not on disk

	AppendBegun   Point = "append.begun"   // internal/atomicfile: a line is to be written
	AppendHalf    Point = "append.half"    // half of it is written
	AppendWritten Point = "append.written" // it is written, and not on disk
	AppendSynced  Point = "append.synced"  // it is on disk, and nobody was told

	JournalMade    Point = "journal.made"    // session/journal: there is a file, whose name is not on disk
	JournalBegun   Point = "journal.begun"   // a step is to be written
	JournalHalf    Point = "journal.half"    // half of it is written
	JournalWritten Point = "journal.written" // it is written, and not on disk
	JournalSynced  Point = "journal.synced"  // it is on disk, and nobody was told
	JournalTorn    Point = "journal.torn"    // half a line of an earlier crash is copied, and not cut off yet

	OutboxKept      Point = "outbox.kept"      // session/outbox: a step is on this machine's disk, and not sent
	OutboxDelivered Point = "outbox.delivered" // the engine has it, and this machine does not know yet

	ProjectFolder Point = "project.folder" // session: a project's folder is there, and no project.toml
	IndexBefore   Point = "index.before"   // engine/dataset: the list of before is put aside, the new one has no name yet
	IndexRenamed  Point = "index.renamed"  // the new one has it

	EmbeddingsRows    Point = "embeddings.rows"    // engine/fast: rows are written, and not in the log
	EmbeddingsWhole   Point = "embeddings.whole"   // all of them are on disk, without their name
	EmbeddingsRenamed Point = "embeddings.renamed" // they have it, and the log is still there

	PixelsWhole   Point = "pixels.whole"   // engine/dataset: a shard of prepared pixels is written, without its name
	PixelsRenamed Point = "pixels.renamed" // it has its name

	ScoresHalf  Point = "scores.half"  // engine/score: half a batch of scores is in the unfinished file
	ScoresBatch Point = "scores.batch" // the whole batch is
	ScoresKept  Point = "scores.kept"  // engine: the score file is there, and so is the unfinished one
	ShardScores Point = "shard.scores" // engine/score/shards: a shard's scores are there, and no manifest

	TrainRecorded Point = "train.recorded" // engine/train: what a round is of is on disk, and none of its checkpoints
	TrainStep     Point = "train.step"     // a step is in the list of steps, and in no checkpoint
	TrainKept     Point = "train.kept"     // a checkpoint is there, older ones are not removed

	ThumbWhole Point = "thumb.whole" // session/thumbs: a picture is written, without its name
)

// Points are all places.
var Points = []Point{PartMade, PartFilled, PartSynced, PartRenamed, AppendBegun, AppendHalf, AppendWritten, AppendSynced,
	JournalMade, JournalBegun, JournalHalf, JournalWritten, JournalSynced, JournalTorn, OutboxKept, OutboxDelivered, ProjectFolder, IndexBefore, IndexRenamed,
	EmbeddingsRows, EmbeddingsWhole, EmbeddingsRenamed, PixelsWhole, PixelsRenamed, ScoresHalf, ScoresBatch, ScoresKept, ShardScores,
	TrainRecorded, TrainStep, TrainKept, ThumbWhole}

const (
	variable = "ANOMALYMATCH_FAILPOINT"
	said     = "killed at the failpoint "
)

// At is the variable of the environment with which a process kills itself the n'th time, from 1, that it comes to p.
func At(p Point, n int) string { return variable + "=" + string(p) + ":" + strconv.Itoa(n) }

// Said is what a process writes to its standard error when it kills itself at p.
func Said(p Point) string { return said + string(p) + "\n" }
