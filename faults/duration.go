package faults

import (
	"math"
	"math/rand/v2"
	"time"

	"mqtthil/faults/internal/form"
)

// Duration is a time as rule files write it, such as 1.5s or 200ms.
type Duration time.Duration

// String is that of time.Duration.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes it as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error { return (*form.Duration)(d).UnmarshalText(text) }

// UnmarshalYAML reads it from a rule file.
func (d *Duration) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, d)
}

// paretoShape3 is a number of 1 or more from the Pareto distribution with the shape 3; their mean is 1.5.
func paretoShape3(random *rand.Rand) float64 { return math.Pow(1-random.Float64(), -1.0/3) }
