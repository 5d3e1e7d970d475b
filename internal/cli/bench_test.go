package cli

import (
	"testing"

	"ropewalk/internal/suite"
)

// Every command of the suites that the program carries is one that it takes.
func TestSuitesAreCommands(t *testing.T) {
	for _, name := range suite.Names() {
		s, err := suite.Embedded(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(accepts); err != nil {
			t.Error(err)
		}
	}
}
