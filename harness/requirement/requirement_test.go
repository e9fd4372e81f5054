package requirement

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"mqtthil/harness/timeline"
)

func TestEveryRequirementIsWhole(t *testing.T) {
	t.Parallel()
	form := map[Profile]*regexp.Regexp{
		MQTT311: regexp.MustCompile(`^MQTT-\d+(\.\d+)+-\d+$`),
		ESPMQTT: regexp.MustCompile(`^ESP-[A-Z0-9]+-\d\d[a-d]?$`),
	}
	count := make(map[Profile]int)
	seen := make(map[string]bool)
	for _, r := range All() {
		count[r.Profile]++
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		if !form[r.Profile].MatchString(r.ID) {
			t.Errorf("%s: id does not have the form of profile %s", r.ID, r.Profile)
		}
		if n := utf8.RuneCountInString(r.Text); n < 20 || n > 200 || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("%s: text is no sentence of at most 200 characters: %s", r.ID, r.Text)
		}
		if strings.ContainsAny(r.Text, "`*|⇒") {
			t.Errorf("%s: text has markup in it: %s", r.ID, r.Text)
		}
		if r.Section == "" {
			t.Errorf("%s has no section", r.ID)
		}
		if r.Profile == MQTT311 && (r.Level != "MUST" && r.Level != "MUST NOT" ||
			r.Observable != "wire" && r.Observable != "api" || r.Stimulus == "") {
			t.Errorf("%s: level %q, observable %q, stimulus %q", r.ID, r.Level, r.Observable, r.Stimulus)
		}
		if found, ok := Lookup(r.ID); !ok || found != r {
			t.Errorf("Lookup(%q) gives %v, %v", r.ID, found, ok)
		}
	}
	if want := (map[Profile]int{MQTT311: 80, ESPMQTT: 277}); !reflect.DeepEqual(count, want) {
		t.Errorf("%v requirements, want %v", count, want)
	}
	if _, ok := Lookup("MQTT-0.0.0-0"); ok {
		t.Error("Lookup finds what does not exist")
	}
}

func TestAllIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	All()[0].Text = "changed"
	if All()[0].Text == "changed" {
		t.Error("a caller changed the requirements")
	}
}

func TestEveryDeviationRefersToRequirements(t *testing.T) {
	t.Parallel()
	entries, err := tables.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, e := range entries {
		client, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), ".tsv"), "deviations-")
		if !ok {
			continue
		}
		for _, d := range Deviations(client) {
			read++
			if _, ok := Lookup(d.Requirement); !ok {
				t.Errorf("%s: requirement %s does not exist", e.Name(), d.Requirement)
			}
			if _, ok := Lookup(d.Quirk); !ok || !strings.HasPrefix(d.Quirk, "ESP-QRK-") {
				t.Errorf("%s: quirk %s does not exist", e.Name(), d.Quirk)
			}
		}
	}
	if read == 0 {
		t.Error("no deviation was read")
	}
	if d := Deviations("no such client"); d != nil {
		t.Errorf("an unknown client has deviations: %v", d)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	named := Deviation{Requirement: "A", Scenario: "one", Judge: "j", Quirk: "Q1", Reason: "by name"}
	other := Deviation{Requirement: "B", Scenario: "one", Judge: "*", Quirk: "Q2", Reason: "any judge"}
	everywhere := Deviation{Requirement: "A", Scenario: "*", Judge: "j", Quirk: "Q3", Reason: "anywhere"}
	known := []Deviation{everywhere, named, other}
	finding := func(requirement, judge, deviation string) timeline.Finding {
		return timeline.Finding{Requirement: requirement, Judge: judge, Deviation: deviation}
	}
	tests := []struct {
		name     string
		scenario string
		findings []timeline.Finding
		judged   []timeline.Finding
		missing  []Deviation
	}{
		{"nothing found", "one", nil, nil, []Deviation{named, other}},
		{"nothing found elsewhere", "two", nil, nil, nil},
		{"by name before anywhere", "one",
			[]timeline.Finding{finding("A", "j", ""), finding("B", "k", ""), finding("A", "j", "")},
			[]timeline.Finding{finding("A", "j", "Q1: by name"), finding("B", "k", "Q2: any judge"), finding("A", "j", "Q1: by name")},
			nil},
		{"anywhere", "two",
			[]timeline.Finding{finding("A", "j", ""), finding("B", "k", "")},
			[]timeline.Finding{finding("A", "j", "Q3: anywhere"), finding("B", "k", "")},
			nil},
		{"another judge", "one",
			[]timeline.Finding{finding("A", "k", "")},
			[]timeline.Finding{finding("A", "k", "")},
			[]Deviation{named, other}},
		{"already explained", "two",
			[]timeline.Finding{finding("A", "j", "Q0: before")},
			[]timeline.Finding{finding("A", "j", "Q0: before")},
			nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := append([]timeline.Finding(nil), test.findings...)
			judged, missing := apply(known, test.scenario, test.findings)
			if !reflect.DeepEqual(judged, test.judged) || !reflect.DeepEqual(missing, test.missing) {
				t.Errorf("judged %v, missing %v\nwant   %v, missing %v", judged, missing, test.judged, test.missing)
			}
			if !reflect.DeepEqual(test.findings, before) {
				t.Error("the caller's findings were changed")
			}
		})
	}
}

func TestApplyOfAClient(t *testing.T) {
	t.Parallel()
	for _, d := range Deviations("esp-mqtt") {
		found := []timeline.Finding{{Judge: d.Judge, Requirement: d.Requirement}}
		judged, missing := Apply("esp-mqtt", d.Scenario, found)
		if !strings.HasPrefix(judged[0].Deviation, d.Quirk+": ") || len(missing) > 0 {
			t.Errorf("%s: judged %v, missing %v", d.Scenario, judged, missing)
		}
		if _, missing = Apply("esp-mqtt", d.Scenario, nil); len(missing) != 1 {
			t.Errorf("%s: without a finding %v is missing", d.Scenario, missing)
		}
		judged, missing = Apply("no such client", d.Scenario, found)
		if judged[0].Deviation != "" || len(missing) > 0 {
			t.Errorf("a client without table: judged %v, missing %v", judged, missing)
		}
	}
}

func TestParseTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data, err string
		rows            []map[string]string
	}{
		{"rows", "id\tmore\na\tx\nb\t\n", "", []map[string]string{{"id": "a", "more": "x"}, {"id": "b", "more": ""}}},
		{"no rows", "id", "", nil},
		{"nothing", "", "the line of column names is missing", nil},
		{"column missing", "more\nx\n", `line 1: column "id" is missing`, nil},
		{"column twice", "id\tid\n", `line 1: column name "id" is empty or not the only one`, nil},
		{"column without name", "id\t\n", `line 1: column name "" is empty or not the only one`, nil},
		{"row too short", "id\tmore\na\n", "line 2: 1 columns instead of 2", nil},
		{"empty line", "id\tmore\na\tx\n\n", "line 3: 1 columns instead of 2", nil},
		{"value missing", "id\tmore\n\tx\n", `line 2: column "id" has no value`, nil},
		{"blanks", "id\na \n", `line 2: "a " begins or ends with a blank`, nil},
		{"other line ends", "id\r\na\r\n", `line 1: "id\r" begins or ends with a blank`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rows, err := parseTable(test.data, "id")
			if test.err != "" && (err == nil || err.Error() != test.err) || test.err == "" && err != nil {
				t.Errorf("error %v, want %s", err, test.err)
			}
			if !reflect.DeepEqual(rows, test.rows) {
				t.Errorf("rows %v, want %v", rows, test.rows)
			}
		})
	}
}

// What parses is what was written: written again from the rows it is the same table.
func FuzzParseTable(f *testing.F) {
	f.Add("id\tmore\na\tx\nb\t\n")
	f.Add("id\n")
	f.Add("id\tid\n\t\n")
	f.Add("id\tmore\r\na")
	f.Fuzz(func(t *testing.T, data string) {
		rows, err := parseTable(data, "id")
		if err != nil {
			if rows != nil {
				t.Errorf("rows %v with error %v", rows, err)
			}
			return
		}
		header, _, _ := strings.Cut(data, "\n")
		columns := strings.Split(header, "\t")
		written := header + "\n"
		for _, row := range rows {
			values := make([]string, len(columns))
			for i, c := range columns {
				values[i] = row[c]
			}
			if row["id"] == "" {
				t.Errorf("row %v has no id", row)
			}
			written += strings.Join(values, "\t") + "\n"
		}
		if written != strings.TrimSuffix(data, "\n")+"\n" {
			t.Errorf("%q was read as %q", data, written)
		}
	})
}
