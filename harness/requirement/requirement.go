// Package requirement holds what a device is held to, as data: the client statements of MQTT 3.1.1, the rules that
// describe Espressif's esp-mqtt client, and the places where a client is known to do otherwise than a requirement asks.
//
// The data are the tables beside this file, with a line of column names, one row per line and tabs between the columns.
package requirement

import (
	"embed"
	"fmt"
	"slices"
	"sync"
)

// Profile is a set of demands that belong together. Profiles may contradict each other, so a verdict always names one.
type Profile string

// The profiles.
const (
	MQTT311 Profile = "mqtt-3.1.1" // the standard
	ESPMQTT Profile = "esp-mqtt"   // the behaviour of Espressif's client, version 1.1.0
)

// Profiles returns all profiles.
func Profiles() []Profile { return []Profile{MQTT311, ESPMQTT} }

// Requirement is one demand. Of a profile that describes a client, only ID, Profile, Section and Text are set.
type Requirement struct {
	ID         string // such as MQTT-3.3.1-1 or ESP-KA-02, unique over all profiles
	Profile    Profile
	Section    string // of the standard, or of the description of the client
	Level      string // MUST or MUST NOT
	Text       string // in one line, understandable alone
	Observable string // where it shows: wire or api
	Stimulus   string // what provokes it
}

//go:embed *.tsv
var tables embed.FS

// load reads the tables once. They are part of the program, and a test reads them, so an error here is a defect of it.
var load = sync.OnceValue(func() []Requirement {
	var all []Requirement
	for _, p := range Profiles() {
		data, err := tables.ReadFile(string(p) + ".tsv")
		if err == nil {
			var some []Requirement
			some, err = parseRequirements(p, string(data))
			all = append(all, some...)
		}
		if err != nil {
			panic(fmt.Sprintf("requirement: table of profile %s: %v", p, err))
		}
	}
	return all
})

// All returns every requirement, profile by profile, in the order of the tables.
func All() []Requirement { return slices.Clone(load()) }

// Lookup returns the requirement with this id.
func Lookup(id string) (Requirement, bool) {
	all := load()
	i := slices.IndexFunc(all, func(r Requirement) bool { return r.ID == id })
	if i < 0 {
		return Requirement{}, false
	}
	return all[i], true
}

func parseRequirements(p Profile, data string) ([]Requirement, error) {
	rows, err := parseTable(data, "id", "section", "text")
	if err != nil {
		return nil, err
	}
	requirements := make([]Requirement, len(rows))
	for i, row := range rows {
		requirements[i] = Requirement{
			ID:         row["id"],
			Profile:    p,
			Section:    row["section"],
			Level:      row["level"],
			Text:       row["text"],
			Observable: row["observable"],
			Stimulus:   row["stimulus"],
		}
	}
	return requirements, nil
}
