package keys

// Table is every key of the program with its defaults.
func Table() []Binding {
	return []Binding{
		{ID: "anomaly", Keys: []string{"a"}, Group: "Label", Hint: "anomaly", Does: "label the picture as anomaly and go on", Disabled: selected},
		{ID: "normal", Keys: []string{"x"}, Group: "Label", Hint: "normal", Does: "label the picture as normal and go on", Disabled: selected},
		{ID: "skip", Keys: []string{"space"}, Group: "Label", Hint: "skip", Does: "undecided: record that and go on; trains nothing", Disabled: selected},
		{ID: "clear", Keys: []string{"d"}, Group: "Label", Hint: "clear", Does: "take the picture's label away", Disabled: func(s State) string {
			if why := selected(s); why != "" {
				return why
			}
			if s.Label == "" {
				return "this picture has no label"
			}
			return ""
		}},
		{ID: "rest-normal", Keys: []string{"X"}, Group: "Label", Hint: "rest normal", Does: "label the rest of the page as normal, from the selected picture on; one undo step",
			Disabled: func(s State) string {
				if s.Page != "gallery" {
					return "works in the gallery"
				}
				return selected(s)
			}},
		{ID: "undo", Keys: []string{"u", "backspace"}, Group: "Label", Hint: "undo", Does: "take back the last labelling step and return to its picture", Disabled: func(s State) string {
			if !s.CanUndo {
				return "nothing to undo"
			}
			return ""
		}},
		{ID: "redo", Keys: []string{"ctrl+r"}, Group: "Label", Hint: "redo", Does: "do again what was undone", Disabled: func(s State) string {
			if !s.CanRedo {
				return "nothing to redo"
			}
			return ""
		}},

		{ID: "left", Keys: []string{"left", "h"}, Group: "Move", Does: "one picture back", Disabled: some},
		{ID: "right", Keys: []string{"right", "l"}, Group: "Move", Does: "one picture on", Disabled: some},
		{ID: "up", Keys: []string{"up", "k"}, Group: "Move", Does: "one row up", Disabled: rows},
		{ID: "down", Keys: []string{"down", "j"}, Group: "Move", Does: "one row down", Disabled: rows},
		{ID: "next-page", Keys: []string{"]", "pgdown"}, Group: "Move", Hint: "page", Does: "next page", Disabled: rows},
		{ID: "previous-page", Keys: []string{"[", "pgup"}, Group: "Move", Does: "page before", Disabled: rows},
		{ID: "first", Keys: []string{"g", "home"}, Group: "Move", Does: "first picture", Disabled: rows},
		{ID: "last", Keys: []string{"G", "end"}, Group: "Move", Does: "last picture of the list", Disabled: rows},

		{ID: "open", Keys: []string{"enter"}, Group: "View", Hint: "large", Does: "show the picture large; on the jobs page: start the engine as a job by the selected profile",
			Disabled: func(s State) string {
				if s.Page == "jobs" {
					return s.Start
				}
				return some(s)
			}},
		{ID: "back", Keys: []string{"esc"}, Group: "View", Hint: "back", Does: "back to the gallery, and there from similar images to the list before; close what lies on top"},
		{ID: "pages", Keys: []string{"tab"}, Group: "View", Hint: "pages", Does: "gallery, training, scores, jobs in turn"},
		{ID: "larger", Keys: []string{"+", "="}, Group: "View", Hint: "size", Does: "larger thumbnails"},
		{ID: "smaller", Keys: []string{"-"}, Group: "View", Does: "smaller thumbnails"},
		{ID: "zoom", Keys: []string{"z"}, Group: "View", Hint: "true pixels", Does: "large picture: as fits, or one pixel of the image for one of the screen",
			Disabled: func(s State) string {
				if s.Page != "single" {
					return "works on the large picture"
				}
				return some(s)
			}},
		{ID: "filter", Keys: []string{"f"}, Group: "View", Hint: "filter", Does: "list the queue, all images, anomalies, normals, skipped, doubtful labels in turn"},
		{ID: "ranking", Keys: []string{"o"}, Group: "View", Hint: "order", Does: "choose the ranking that orders the list, and the strategy that picks the candidates"},
		{ID: "similar", Keys: []string{"s"}, Group: "View", Hint: "similar", Does: "list what is most like the selected picture; esc goes back", Disabled: func(s State) string {
			switch {
			case s.Page != "gallery" && s.Page != "single":
				return "works in the gallery"
			case !s.Connected:
				return "the engine is not connected"
			case !s.Embedded:
				return "the images are not embedded yet: nobody knows which are alike"
			}
			return some(s)
		}},
		{ID: "restart", Keys: []string{"R"}, Group: "View", Hint: "new top", Does: "start again at the top of the newest ranking"},
		{ID: "redraw", Keys: []string{"ctrl+l"}, Group: "View", Does: "draw everything again, pictures too"},

		{ID: "train", Keys: []string{"ctrl+t"}, Group: "Work", Hint: "train", Does: "train on the labels, then score every image", Disabled: func(s State) string {
			if why := idle(s); why != "" {
				return why
			}
			if s.Anomalies == 0 {
				return "label at least one anomaly first"
			}
			return ""
		}},
		{ID: "score", Keys: []string{"ctrl+e"}, Group: "Work", Hint: "score", Does: "score every image with the trained network", Disabled: idle},
		{ID: "use-run", Keys: []string{"e"}, Group: "Work", Hint: "use a run", Does: "use the network of one of several runs, or the mean of all, as the deep ranking", Disabled: func(s State) string {
			switch {
			case s.Page != "training":
				return "works on the training page"
			case s.Runs == 0:
				return "there are no runs to choose from: `anomalymatch train PROJECT --seeds 42,43,44` makes some"
			}
			return idle(s)
		}},
		{ID: "cancel", Keys: []string{"ctrl+x"}, Group: "Work", Hint: "cancel job", Does: "end the running job; a training run is checkpointed", Disabled: func(s State) string {
			switch {
			case !s.Connected:
				return "the engine is not connected"
			case s.Job == "":
				return "no job is running"
			}
			return ""
		}},
		{ID: "cancel-job", Keys: []string{"D", "delete"}, Group: "Work", Hint: "cancel", Does: "on the jobs page: cancel the selected job of the batch system", Disabled: func(s State) string {
			if s.Page != "jobs" {
				return "works on the jobs page"
			}
			return s.Stop
		}},
		{ID: "sign-in", Keys: []string{"C"}, Group: "Work", Hint: "sign in", Does: "on another machine: give the terminal to ssh, to sign in again", Disabled: func(s State) string {
			if !s.SignIn {
				return "nobody asks for it"
			}
			return ""
		}},
		{ID: "help", Keys: []string{"?", "f1"}, Group: "Work", Hint: "help", Does: "all keys"},
		{ID: "suspend", Keys: []string{"ctrl+z"}, Group: "Work", Does: "to the shell; fg comes back"},
		{ID: "quit", Keys: []string{"q", "ctrl+c"}, Group: "Work", Hint: "quit", Does: "leave; the engine goes on"},
	}
}

func some(s State) string {
	if s.Candidates == 0 {
		return "the list is empty"
	}
	return ""
}

// rows is what there is to move through.
func rows(s State) string {
	switch {
	case s.Page != "jobs":
		return some(s)
	case s.Rows == 0:
		return "there is nothing to select"
	}
	return ""
}

func selected(s State) string {
	if s.Page != "gallery" && s.Page != "single" {
		return "labels are given in the gallery"
	}
	if why := some(s); why != "" {
		return why
	}
	return s.Picture
}

func idle(s State) string {
	switch {
	case !s.Connected:
		return "the engine is not connected"
	case s.Job != "" && s.Job != "embedding": // embedding gives way
		return "the engine is " + s.Job + " just now"
	}
	return ""
}
