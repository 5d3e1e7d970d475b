//go:build !unix

package mapped

import (
	"errors"
	"os"

	"ropewalk/tensor"
)

func mapFile(*os.File, int64) (tensor.Data, func() error, error) {
	return nil, nil, errors.New("cannot be mapped")
}
