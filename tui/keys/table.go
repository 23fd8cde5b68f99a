package keys

import "fmt"

// Where groups of actions work.
var (
	pictures = []string{"gallery", "single", "compare"}
	lists    = []string{"gallery", "single"}
	gallery  = []string{"gallery"}
	large    = []string{"single"}
	prepares = []string{"preparation"}
	levels   = append([]string{"preparation"}, pictures...)
)

// Table is every action of the program with its default keys. An action without keys is in the palette.
func Table() []Binding {
	table := []Binding{
		{ID: "anomaly", Keys: []string{"a"}, Group: "Label", Hint: "anomaly", Does: "label the picture as anomaly and go on", Pages: pictures, Disabled: selected},
		{ID: "normal", Keys: []string{"x"}, Group: "Label", Hint: "normal", Does: "label the picture as normal and go on", Pages: pictures, Disabled: selected},
		{ID: "skip", Keys: []string{"space"}, Group: "Label", Hint: "skip", Does: "undecided: record that and go on; trains nothing", Pages: pictures, Disabled: selected},
		{ID: "clear", Keys: []string{"d"}, Group: "Label", Hint: "clear", Does: "take the picture's label away", Pages: pictures, Disabled: func(s State) string {
			if why := selected(s); why != "" {
				return why
			}
			if s.Label == "" {
				return "this picture has no label"
			}
			return ""
		}},
		{ID: "rest-normal", Keys: []string{"X"}, Group: "Label", Hint: "rest normal", Does: "label the rest of the page as normal, from the selected picture on; one undo step", Pages: gallery, Disabled: selected},
		{ID: "select", Keys: []string{"v"}, Group: "Label", Hint: "select", Does: "begin to select several pictures: moving takes in more, a label key labels all of them in one undo step, esc lets go", Pages: gallery, Disabled: some},
		{ID: "bookmark", Keys: []string{"m"}, Group: "Label", Hint: "bookmark", Does: "bookmark the picture, or take the bookmark away", Pages: pictures, Disabled: some},
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
	}
	for n := 1; n <= 9; n++ {
		table = append(table, Binding{ID: fmt.Sprintf("tag-%d", n), Keys: []string{fmt.Sprint(n)}, Group: "Label", Hint: "tag", Does: fmt.Sprintf("give the picture tag %d, or take it away", n), Pages: pictures, Yields: true, Disabled: some})
	}
	return append(table, []Binding{
		{ID: "left", Keys: []string{"left", "h"}, Group: "Move", Does: "one picture back; on other pages: the chart, list or stretch before, the box of the map to the left"},
		{ID: "right", Keys: []string{"right", "l"}, Group: "Move", Does: "one picture on; on other pages: the next chart, list or stretch, the box of the map to the right"},
		{ID: "up", Keys: []string{"up", "k"}, Group: "Move", Does: "one row up"},
		{ID: "down", Keys: []string{"down", "j"}, Group: "Move", Does: "one row down"},
		{ID: "next-page", Keys: []string{"]", "pgdown"}, Group: "Move", Hint: "page", Does: "next page"},
		{ID: "previous-page", Keys: []string{"[", "pgup"}, Group: "Move", Does: "page before"},
		{ID: "first", Keys: []string{"g", "home"}, Group: "Move", Does: "first picture"},
		{ID: "last", Keys: []string{"G", "end"}, Group: "Move", Does: "last picture of the list"},
		{ID: "jump", Keys: []string{"ctrl+g"}, Group: "Move", Hint: "go to", Does: "go to a place in the list by its number", Pages: lists, Disabled: some},
		{ID: "search", Keys: []string{"/"}, Group: "Move", Hint: "search", Does: "find images by their id: a part of it is enough; on the settings page: find a setting", Pages: []string{"gallery", "single", "settings"}},
		{ID: "next-match", Keys: []string{"n"}, Group: "Move", Does: "next image that was searched for", Pages: lists},
		{ID: "previous-match", Keys: []string{"N"}, Group: "Move", Does: "image before that was searched for", Pages: lists},

		{ID: "open", Keys: []string{"enter"}, Group: "View", Hint: "large", Does: "show the picture large; elsewhere: do what the selected line offers"},
		{ID: "back", Keys: []string{"esc"}, Group: "View", Hint: "back", Does: "back to the gallery, and there from similar images or matches to the list before; close what lies on top"},
		{ID: "larger", Keys: []string{"+", "="}, Group: "View", Hint: "size", Does: "larger thumbnails; closer on the map", Pages: []string{"gallery", "map"}},
		{ID: "smaller", Keys: []string{"-"}, Group: "View", Does: "smaller thumbnails; farther away on the map", Pages: []string{"gallery", "map"}},
		{ID: "zoom", Keys: []string{"z"}, Group: "View", Hint: "zoom", Does: "large picture: as fits, one pixel of the image for one of the screen, then two and four times that", Pages: large, Disabled: some},
		{ID: "pan-left", Keys: []string{"H", "shift+left"}, Group: "View", Does: "zoomed picture: look further left", Pages: large, Disabled: some},
		{ID: "pan-right", Keys: []string{"L", "shift+right"}, Group: "View", Does: "zoomed picture: look further right", Pages: large, Disabled: some},
		{ID: "pan-up", Keys: []string{"K", "shift+up"}, Group: "View", Does: "zoomed picture: look further up", Pages: large, Disabled: some},
		{ID: "pan-down", Keys: []string{"J", "shift+down"}, Group: "View", Does: "zoomed picture: look further down", Pages: large, Disabled: some},
		{ID: "compare", Keys: []string{"w"}, Group: "View", Hint: "compare", Does: "compare the picture with another one, side by side or blinked", Pages: pictures, Disabled: some},
		{ID: "filter", Keys: []string{"f"}, Group: "View", Hint: "filter", Does: "choose what is listed: the queue, all images, anomalies, normals, skipped, doubtful labels, bookmarks, a tag", Pages: lists},
		{ID: "where", Keys: []string{"F"}, Group: "View", Hint: "where", Does: "list only images of which a condition on their metadata holds, such as mag < 21 and z > 0.1; an empty one takes it away", Pages: lists, Disabled: func(s State) string {
			switch {
			case !s.Connected:
				return "the engine is not connected"
			case s.Columns == 0:
				return "there is no metadata: `anomalymatch metadata PROJECT FILE` adds a table"
			}
			return ""
		}},
		{ID: "ranking", Keys: []string{"o"}, Group: "View", Hint: "order", Does: "choose the ranking that orders the list, the strategy that picks the candidates, and how the list is sorted"},
		{ID: "similar", Keys: []string{"s"}, Group: "View", Hint: "similar", Does: "list what is most like the selected picture; esc goes back", Pages: lists, Disabled: func(s State) string {
			switch {
			case !s.Connected:
				return "the engine is not connected"
			case !s.Embedded:
				return "the images are not embedded yet: nobody knows which are alike"
			}
			return some(s)
		}},
		{ID: "restart", Keys: []string{"R"}, Group: "View", Hint: "new top", Does: "start again at the top of the newest ranking"},
		{ID: "redraw", Keys: []string{"ctrl+l"}, Group: "View", Does: "draw everything again, pictures too"},

		{ID: "stretch", Keys: []string{"t"}, Group: "Picture", Hint: "stretch", Does: "how values become brightness: as the network sees them, linear, sqrt, asinh, log, zscale, percentile in turn", Pages: pictures},
		{ID: "invert", Keys: []string{"i"}, Group: "Picture", Hint: "invert", Does: "dark on light, or back", Pages: pictures},
		{ID: "colours", Keys: []string{"c"}, Group: "Picture", Hint: "colours", Does: "colour map: none, grey, viridis, magma, cubehelix in turn; of a picture with colours it takes the brightness; on the map: colours say how many images there are, or their mean score", Pages: append([]string{"map"}, pictures...)},
		{ID: "channel", Keys: []string{"b"}, Group: "Picture", Hint: "band", Does: "all bands as colours, or one band after the other", Pages: pictures},
		{ID: "brighter", Keys: []string{"."}, Group: "Picture", Does: "brighter; on the preparation page: white begins lower", Pages: levels},
		{ID: "darker", Keys: []string{","}, Group: "Picture", Does: "darker; on the preparation page: white begins higher", Pages: levels},
		{ID: "more-contrast", Keys: []string{">"}, Group: "Picture", Does: "more contrast; on the preparation page: black begins higher", Pages: levels},
		{ID: "less-contrast", Keys: []string{"<"}, Group: "Picture", Does: "less contrast; on the preparation page: black begins lower", Pages: levels},
		{ID: "plain", Keys: []string{"0"}, Group: "Picture", Does: "pictures as they are: no stretch, colour map, brightness or contrast; on the preparation page: each image in its own range", Pages: levels},

		{ID: "pages", Keys: []string{"tab"}, Group: "Pages", Hint: "pages", Does: "the pages in turn"},
		{ID: "pages-back", Keys: []string{"shift+tab"}, Group: "Pages", Does: "the pages in turn, backwards"},
		{ID: "gallery", Keys: []string{"f2"}, Group: "Pages", Yields: true, Does: "the grid of candidates"},
		{ID: "training", Keys: []string{"f3"}, Group: "Pages", Yields: true, Does: "the training run and those before"},
		{ID: "scores", Keys: []string{"f4"}, Group: "Pages", Yields: true, Does: "scores, precision and recall, what was found"},
		{ID: "preparation", Keys: []string{"f5"}, Group: "Pages", Yields: true, Does: "how values become what the network sees, chosen on real images"},
		{ID: "map", Keys: []string{"f6"}, Group: "Pages", Yields: true, Does: "the images as a map of what is alike"},
		{ID: "labels", Keys: []string{"f7"}, Group: "Pages", Yields: true, Does: "who labelled what and when"},
		{ID: "jobs", Keys: []string{"f8"}, Group: "Pages", Yields: true, Does: "batch systems, jobs, the engine's log"},
		{ID: "settings", Keys: []string{"f9"}, Group: "Pages", Yields: true, Does: "every setting with its help"},

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
		{ID: "use-run", Keys: []string{"e"}, Group: "Work", Hint: "use a run", Does: "use the network of one of several runs, or the mean of all, as the deep ranking", Pages: []string{"training"}, Disabled: func(s State) string {
			if s.Runs == 0 {
				return "there are no runs to choose from: `anomalymatch train PROJECT --seeds 42,43,44` makes some"
			}
			return idle(s)
		}},
		{ID: "range", Keys: []string{"V"}, Group: "Work", Hint: "range", Does: "on the preparation page: type what value is black and what is white", Pages: prepares},
		{ID: "bands", Keys: []string{"M"}, Group: "Work", Hint: "channels", Does: "on the preparation page: mix the bands into channels, by weights", Pages: prepares},
		{ID: "sample", Keys: []string{"r"}, Group: "Work", Hint: "others", Does: "on the preparation page: look at other images", Pages: prepares},
		{ID: "cancel", Keys: []string{"ctrl+x"}, Group: "Work", Hint: "cancel job", Does: "end the running job; a training run is checkpointed", Disabled: func(s State) string {
			switch {
			case !s.Connected:
				return "the engine is not connected"
			case s.Job == "":
				return "no job is running"
			}
			return ""
		}},
		{ID: "cancel-job", Keys: []string{"D", "delete"}, Group: "Work", Hint: "cancel", Does: "on the jobs page: cancel the selected job of the batch system; on the labels page: take the selected label back; on the settings page: back to the default", Pages: []string{"jobs", "labels", "settings"}},
		{ID: "sign-in", Keys: []string{"C"}, Group: "Work", Hint: "sign in", Does: "on another machine: give the terminal to ssh, to sign in again", Disabled: func(s State) string {
			if !s.SignIn {
				return "nobody asks for it"
			}
			return ""
		}},
		{ID: "palette", Keys: []string{":", "ctrl+p"}, Group: "Work", Hint: "palette", Does: "find any action by its name; a number goes to that place in the list"},
		{ID: "help", Keys: []string{"?", "f1"}, Group: "Work", Hint: "help", Does: "all keys"},
		{ID: "suspend", Keys: []string{"ctrl+z"}, Group: "Work", Does: "to the shell; fg comes back"},
		{ID: "quit", Keys: []string{"q", "ctrl+c"}, Group: "Work", Hint: "quit", Does: "leave; the engine goes on"},
	}...)
}

func some(s State) string {
	if s.Candidates == 0 {
		return "the list is empty"
	}
	return ""
}

func selected(s State) string {
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
