package fixmatch

import "anomalymatch"

// FromConfig takes the algorithm's settings from the program's.
func FromConfig(c anomalymatch.FixMatch) Settings {
	return Settings{Labelled: c.LabelledBatch, Unlabelled: c.UnlabelledBatch, LearningRate: c.LearningRate, Momentum: c.Momentum, Nesterov: c.Nesterov,
		WeightDecay: c.WeightDecay, EMA: c.EMA, Cutoff: c.Cutoff, UnlabelledWeight: c.UnlabelledWeight, Dropout: c.Dropout, DropConnect: c.DropConnect, BNMomentum: c.BNMomentum}
}
