package transcript

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"

	"mqtthil/devices/emulator"
	"mqtthil/devices/espmqtt"
)

// Network is where the board and the broker of a case meet. In a synctest bubble it has to be one in memory.
type Network struct {
	Host   string // the broker's, an IP address
	Listen func(address string) (net.Listener, error)
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// What the recording itself took: from one step to the next, and from a command's time to its arrival on the board.
// Where two things happen at once, it shows.
const (
	pace   = 50 * time.Microsecond
	typing = 10 * time.Microsecond
)

// settling is the time between the board's power-on and the start of its client: 300 ms, and what the recorded client
// took to load, for the start falls where it fell between two ticks of the clock.
const settling = 301 * time.Millisecond

// macAddress and kconfig are the board and the build that the recordings were made with.
var macAddress = [6]byte{0x24, 0x0a, 0xc4, 0x12, 0x34, 0x56}

func kconfig(options map[string]json.RawMessage) (*espmqtt.Kconfig, error) {
	k := emulator.DefaultKconfig()
	if err := k.Apply(options); err != nil {
		return nil, err
	}
	return &k, nil
}

// Play goes through a case with an emulated board, whose client has the given behaviour, and returns the trace.
func Play(script *Case, network Network, behaviour espmqtt.Behaviour) ([]Row, error) {
	options, err := kconfig(script.Kconfig)
	if err != nil {
		return nil, err
	}
	record := new(trace)
	broker, err := newBroker(script, record, network.Host, network.Listen)
	if err != nil {
		return nil, err
	}
	toBoard, typed := io.Pipe()
	printed, fromBoard := io.Pipe()
	board := emulator.New(struct {
		io.Reader
		io.Writer
	}{toBoard, fromBoard}, emulator.Options{MAC: macAddress, Kconfig: options, Behaviour: behaviour, Seed: 1, Dial: network.Dial})
	broker.tasks.Go(func() {
		if err := board.Run(); err != nil {
			broker.fault(err)
		}
		_ = fromBoard.Close()
	})
	broker.tasks.Go(func() { record.listen(printed, broker.address) })

	p := &player{script: script, record: record, broker: broker, lines: make(chan line, linesUnderWay)}
	broker.tasks.Go(func() { p.keyboard(typed) })
	p.play()
	rows := record.end()
	close(p.lines)
	return rows, broker.close()
}

// player goes through the steps of a case.
type player struct {
	script *Case
	record *trace
	broker *broker
	lines  chan line // on their way to the board
}

// line is a line for the console, and when it gets there.
type line struct {
	text string
	due  time.Time
}

// linesUnderWay bounds the lines that a script may type at once.
const linesUnderWay = 1024

// keyboard types lines, each at its time, and closes the console when there are no more.
func (p *player) keyboard(console io.WriteCloser) {
	for l := range p.lines {
		p.broker.wait(time.Until(l.due))
		if _, err := io.WriteString(console, l.text+"\n"); err != nil {
			p.broker.fault(fmt.Errorf("typing %q: %w", l.text, err))
		}
	}
	_ = console.Close()
}

func (p *player) play() {
	p.init(p.script.Client)
	for _, c := range p.script.Config {
		p.command("config " + p.blob(c))
	}
	p.broker.wait(settling)
	start := time.Now()
	p.record.begin()
	until := func(ms int) { p.broker.wait(time.Until(start.Add(time.Duration(ms) * time.Millisecond))) }
	p.say("start")

	steps := slices.Clone(p.script.Steps)
	if p.script.RefuseUntil > 0 {
		accept := true
		steps = append(steps, Step{At: p.script.RefuseUntil, Action: Action{Listen: &accept}})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At - b.At })
	for _, s := range steps {
		until(s.At)
		switch {
		case s.Command != "":
			p.say(s.Command)
		case s.Config != nil:
			p.command("config " + p.blob(s.Config))
		case s.Init != nil:
			p.init(s.Init)
		default:
			if k := p.broker.newest(); k != nil {
				p.broker.act(k, received{}, s.Action)
			} else if s.Listen != nil {
				p.broker.listen(*s.Listen)
			}
		}
		p.broker.wait(pace)
	}
	until(p.script.Milliseconds)
}

// init types the command that makes a client.
func (p *player) init(config json.RawMessage) {
	client, err := json.Marshal(map[string]json.RawMessage{"mqtt_config": config})
	if err != nil {
		p.broker.fault(fmt.Errorf("the client's configuration: %w", err))
		return
	}
	p.command("init " + p.blob(client))
}

// say types a command of the script. The recorder's console knew no options, so that a dash began an argument there; on a
// board's it does behind a double one.
func (p *player) say(command string) {
	p.record.add(Row{Kind: kindCommand, Text: command})
	if name, arguments, _ := strings.Cut(command, " "); strings.Contains(" "+arguments, " -") {
		command = name + " -- " + arguments
	}
	p.command(command)
}

func (p *player) command(text string) { p.lines <- line{text, time.Now().Add(typing)} }

// blob is a JSON text as the console takes it, with the broker's address put in.
func (p *player) blob(text json.RawMessage) string {
	host, port, _ := net.SplitHostPort(p.broker.address)
	filled := strings.NewReplacer("${HOST}", host, "${PORT}", port, `"${PORT_NUMBER}"`, port).Replace(string(text))
	return base64.StdEncoding.EncodeToString([]byte(filled))
}

// The lines of the console that belong on a trace.
var (
	eventLine = regexp.MustCompile(`[IWE] \(\d+\) (?:mqtt_conformance|mqtthil): (.*)`)
	keptText  = regexp.MustCompile(`MQTT_EVENT|MQTT_USER_EVENT|ERROR type|Publish requested|Publish failed|Subscribe requested|` +
		`Subscribe failed|Unsubscribe|DISCONNECT_REASON|DATA_PROP|CONNACK_USER|OUTBOX|Failed|client not init|` +
		`Mqtt client (started|stopped)|will reconnect`)
)

// readable is a line as the recorder read it: what is not UTF-8 became U+FFFD, and blanks at the end were lost.
func readable(line string) string {
	text, err := unicode.UTF8.NewDecoder().String(line)
	if err != nil { // never of this decoder
		text = line
	}
	return strings.TrimRight(text, " \t\n\v\f\r\x1c\x1d\x1e\x1f\u0085\u00a0")
}

// listen reads the board's console to its end.
func (t *trace) listen(console io.Reader, address string) {
	_, port, _ := net.SplitHostPort(address)
	lines := bufio.NewReader(console)
	for {
		line, err := lines.ReadString('\n')
		if m := eventLine.FindStringSubmatch(readable(line)); m != nil && keptText.MatchString(m[1]) {
			t.addEvent(strings.ReplaceAll(m[1], port, "PORT"))
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.addEvent("the console failed: " + err.Error())
			}
			return
		}
	}
}
