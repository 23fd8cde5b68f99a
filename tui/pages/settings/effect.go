package settings

import "strings"

// effects says from when on a setting counts once it is changed, by its key or its table.
var effects = map[string]string{
	"queue": "at once", "display": "at once", "method": "at once", "fast.regularisation": "at once", "engine.idle_minutes": "at once",
	"seed": training, "model.size": training, "fixmatch": training, "augment": training, "engine.checkpoint_every": training, "engine.keep_checkpoints": training,
	"engine.runtime": "from the next job on", "model.score_batch": "from the next job on", "images.decode_workers": "from the next job on",
	"images": restart, "fast": restart,
	"tui": "at once", "tui.images": "from the next start of this program on", "tui.thumbnail": "from the next start of this program on",
	"keys": "at once", "cluster": "from the next submission on",
}

const (
	training = "from the next training on"
	restart  = "when the engine starts anew (`anomalymatch stop PROJECT`)"
)

// effect tells when a change of the setting counts.
func effect(key string) string {
	if e, ok := effects[key]; ok {
		return e
	}
	table, _, _ := strings.Cut(key, ".")
	return effects[table]
}

// personal tells whether a setting is kept in the person's own file, and not in the project's.
func personal(key string) bool {
	switch table, _, _ := strings.Cut(key, "."); table {
	case "tui", "keys", "cluster":
		return true
	}
	return false
}
