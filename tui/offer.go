package tui

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
)

// greeted asks what to do about an engine of another version, once for each.
func (a *app) greeted(h *rpc.HelloReply) tea.Cmd {
	v := h.GetVersion()
	if v == a.opt.Version || v == a.version || a.opt.Version == "" {
		return nil
	}
	a.version = v
	a.stack.Open(dialogs.Confirm{Common: a.env.Common, Title: "Another version",
		Text: fmt.Sprintf("The engine of this project is anomalymatch %s, this program is %s. A restart checkpoints a running job and takes some seconds; "+
			"to go on works where both understand each other.", common.Clean(v), common.Clean(a.opt.Version)),
		Choices: []dialogs.Choice{{Keys: []string{"r"}, Does: "restart the engine", Answer: restartMsg{}}, {Keys: []string{"g"}, Does: "go on"}}})
	return nil
}

// consider makes the offer of a faster runtime, once.
func (a *app) consider(o *rpc.RuntimeOffer) {
	if o == nil {
		a.offer = nil
		return
	}
	if a.offered || a.opt.RuntimeDeclined {
		return
	}
	a.offered = true
	if a.opt.Host != "" { // which may have no way to the internet
		a.env.Say(common.Note, "a faster runtime for "+common.Clean(a.opt.Host)+": `anomalymatch runtime install "+common.Clean(o.GetKind())+" -H "+common.Clean(a.opt.Host)+"`")
		return
	}
	name, gain := "XLA", "training about 13 times faster"
	switch kind := common.Clean(o.GetKind()); {
	case kind == "onnx":
		name, gain = "ONNX Runtime", "scoring more than twice as fast"
	case strings.HasPrefix(kind, "cuda"):
		name, gain = "XLA for "+strings.ToUpper(kind[:4])+" "+kind[4:], "training many times faster"
	}
	a.offer = &dialogs.Offer{
		Text: fmt.Sprintf("A faster runtime (%s, %s download, %s on disk) makes %s. Install?", name, common.Bytes(o.GetDownloadBytes()), common.Bytes(o.GetDiskBytes()), gain),
		Yes:  dialogs.Choice{Keys: []string{"y"}, Does: "yes", Answer: answerMsg{true}},
		No:   dialogs.Choice{Keys: []string{"n"}, Does: "not now", Answer: answerMsg{false}},
	}
}

// answered remembers the answer to the offer and starts the installation.
func (a *app) answered(install bool) tea.Cmd {
	a.offer = nil
	kind := a.env.Monitor.Status.GetOffer().GetKind()
	var cmds []tea.Cmd
	if save := a.opt.SaveRuntimeAnswer; save != nil {
		log := a.env.Log
		cmds = append(cmds, func() tea.Msg {
			if err := save(install); err != nil {
				log.Warn("the answer about the runtime is not remembered", "err", err)
			}
			return nil
		})
	}
	if install {
		cmds = append(cmds, a.order("installing the runtime; labelling goes on", func(ctx context.Context, c rpc.EngineClient) (*rpc.JobReply, error) {
			return c.InstallRuntime(ctx, &rpc.InstallRuntimeRequest{Kind: kind})
		}))
	}
	return tea.Batch(cmds...)
}
