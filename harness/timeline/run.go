package timeline

import "time"

// Run is the content of run.json, the file that makes a folder the folder of a run. The harness writes it when the run
// starts, so that a run that dies half-way can still be reported, and again with Ended when the run ends.
//
// Beside it lie the records of the scenarios, scenarios/NNN-slug.jsonl, numbered in the order in which they ran.
type Run struct {
	Tool    string    `json:"tool"`
	Version string    `json:"version"`
	Started time.Time `json:"started,omitzero"`
	Command []string  `json:"command"` // the command line, program first

	Device   string   `json:"device"`         // the device under test, such as emulated esp-mqtt
	Time     string   `json:"time"`           // virtual or real
	Defects  []string `json:"defects"`        // planted in an emulated device; nil where that is unknown, empty for none
	Quirks   []string `json:"without_quirks"` // switched off in an emulated device; nil and empty as for Defects
	Profiles []string `json:"profiles"`       // the demands that the device was held to, such as mqtt-3.1.1; nil if unknown
	Seed     *int64   `json:"seed,omitempty"` // nil where it is unknown

	Go   string `json:"go"` // version of Go that the tool was built with
	OS   string `json:"os"` // system and architecture, such as linux/amd64
	Host string `json:"host"`

	Requirements map[string]string `json:"requirements"` // text of each requirement that is covered or cited, by id
	Selected     []string          `json:"selected"`     // full names of all scenarios that were chosen, in order

	Ended       time.Time `json:"ended,omitzero"` // zero until the run has ended; it stays zero if the run was killed
	Interrupted bool      `json:"interrupted,omitempty"`
}
