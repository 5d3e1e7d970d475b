package torch

import (
	"slices"
	"strings"
)

// wrappers are the keys and attributes under which training code puts the
// weights: a checkpoint's dictionary, DataParallel, torch.compile.
var wrappers = []string{"state_dict.", "model_state_dict.", "model.", "module.", "_orig_mod."}

// besides are the keys of a training checkpoint that are not the network.
var besides = []string{
	"optimizer.", "optimizers.", "optimizer_state_dict.", "optimizer_states.", "optim.", "opt.",
	"scheduler.", "lr_scheduler.", "lr_schedulers.", "scaler.", "rng_state", "cuda_rng_state",
	"ema.", "ema_state_dict.", "ema_model.",
}

// Prefix returns the wrappers that the names of all weights begin with, as
// "state_dict.module.", so that a converter can drop them; or "". Names of
// optimizer state and the like do not count. [Parse] itself keeps full names.
func Prefix(names []string) string {
	weights := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(besides, func(p string) bool { return strings.HasPrefix(name, p) })
	})
	if len(weights) == 0 {
		return ""
	}
	prefix := ""
	for {
		i := slices.IndexFunc(wrappers, func(w string) bool {
			for _, name := range weights {
				if rest, ok := strings.CutPrefix(name, prefix+w); !ok || rest == "" {
					return false
				}
			}
			return true
		})
		if i < 0 {
			return prefix
		}
		prefix += wrappers[i]
	}
}
