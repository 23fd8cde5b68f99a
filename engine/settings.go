package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/rpc"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Settings is the project's file of settings, safe for concurrent use; the errors are sentences for people. session implements it.
type Settings interface {
	File() string
	Own() ([]string, error)                             // keys that the file names
	Set(key, value string) (anomalymatch.Config, error) // value as TOML writes it, empty: without it; on disk when it returns, with what holds then
}

// config is what holds now. It is replaced as a whole, so whoever asked keeps what they got.
func (e *Engine) config() anomalymatch.Config { return *e.settings.Load() }

// Settings lists every setting as it is in force.
func (s *Service) Settings(context.Context, *rpc.SettingsRequest) (*rpc.SettingsReply, error) {
	return s.e.tellSettings("")
}

// SetSetting changes project.toml. What can take effect at once does: the order of the list, the fit of the fast ranking, the idle time.
// Training reads its settings when it starts; limits on images and the embeddings' size and views wait for the next engine.
func (s *Service) SetSetting(_ context.Context, in *rpc.SetSettingRequest) (*rpc.SettingsReply, error) {
	e := s.e
	if e.opt.Settings == nil {
		return nil, status.Error(codes.Unimplemented, "this engine cannot change settings")
	}
	if e.opt.ReadOnly {
		return e.tellSettings("the project's folder cannot be written to: nothing is changed")
	}
	if table, _, _ := strings.Cut(in.Key, "."); slices.Contains(personal, table) {
		return e.tellSettings(table + " is a person's, not a project's: change it in your own settings")
	}
	e.setting.Lock()
	defer e.setting.Unlock()
	config, err := e.opt.Settings.Set(in.Key, in.Value)
	if err != nil {
		return e.tellSettings(err.Error())
	}
	e.settings.Store(&config)
	e.mu.Lock()
	if e.pool != nil {
		e.countPool()
		e.newOrder()
	}
	e.mu.Unlock()
	e.publish()
	e.rankAgain()
	e.log.Info("a setting was changed", "key", in.Key, "value", in.Value)
	return e.tellSettings("")
}

// personal are the tables that the engine has no say in.
var personal = []string{"tui", "keys", "cluster"}

func (e *Engine) tellSettings(refused string) (*rpc.SettingsReply, error) {
	out := &rpc.SettingsReply{Error: refused}
	var own []string
	if e.opt.Settings != nil {
		out.File = e.opt.Settings.File()
		var err error
		if own, err = e.opt.Settings.Own(); err != nil {
			return nil, status.Error(codes.FailedPrecondition, sentence(err))
		}
	}
	values := e.config().Values()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out.Settings = append(out.Settings, &rpc.Setting{Key: key, Value: values[key], Own: slices.Contains(own, key)})
	}
	return out, nil
}
