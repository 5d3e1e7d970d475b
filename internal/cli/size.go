package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A byteSize is a number of bytes. As a flag it takes 512MiB (1024²), 2GB
// (1000³), 64M (as 64MiB) or plain bytes.
type byteSize int64

var unitSizes = map[string]float64{
	"": 1, "B": 1,
	"K": 1 << 10, "KIB": 1 << 10, "KB": 1e3,
	"M": 1 << 20, "MIB": 1 << 20, "MB": 1e6,
	"G": 1 << 30, "GIB": 1 << 30, "GB": 1e9,
	"T": 1 << 40, "TIB": 1 << 40, "TB": 1e12,
}

// Set implements pflag.Value.
func (s *byteSize) Set(text string) error {
	digits := strings.TrimRight(text, "BbIiKkMmGgTt ")
	unit, ok := unitSizes[strings.ToUpper(strings.TrimSpace(text[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !ok || !(n >= 0) || n*unit >= math.MaxInt64 {
		return fmt.Errorf("want a size such as 512MiB or 2GB")
	}
	*s = byteSize(n * unit)
	return nil
}

// Type implements pflag.Value.
func (s *byteSize) Type() string { return "SIZE" }

// String returns the size with three digits and a unit: "887 KiB".
func (s byteSize) String() string {
	if s == 0 {
		return "0 B"
	}
	v, units := float64(s), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for math.Round(v) >= 1000 && i < len(units)-1 { // "1000 KiB" has four digits
		v /= 1024
		i++
	}
	digits := 0
	switch {
	case i == 0 || v >= 99.95:
	case v >= 9.995:
		digits = 1
	default:
		digits = 2
	}
	return fmt.Sprintf("%.*f %s", digits, v, units[i])
}

// commas returns n with its digits in groups of three.
func commas(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count returns "1 tensor" or "3 tensors".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return commas(int64(n)) + " " + what + "s"
}
