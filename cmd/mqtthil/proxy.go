package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"mqtthil/faults"
	"mqtthil/faults/rulefile"
	"mqtthil/faults/toxiproxy"
	"mqtthil/faults/transport"
	"mqtthil/harness"
	"mqtthil/harness/timeline"
)

// proxying is what the command line asks for.
type proxying struct {
	listen   string
	device   deviceSide
	upstream brokerSide
	names    nameService
	rules    string
	replay   string
	record   string
	summary  bool
	print    bool
	unread   bool
	seed     uint64
	api      string
	config   string
	command  []string
}

// proxyName is the name of the proxy that --listen and --upstream make, and defaultListen where it listens.
const (
	proxyName     = "mqtt"
	defaultListen = "127.0.0.1:1883"
)

func proxyCommand() *cobra.Command {
	var p proxying
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Be a fault proxy in front of any broker",
		Long: `Be a fault proxy in front of any MQTT broker: relay, show and record what passes, and break it where
rules say so. Ctrl-C ends it and says what each rule has done.

It listens on the loopback interface, where this machine alone can connect, unless --listen has the
address of another one: 0.0.0.0:1883 is for everybody who reaches this machine. Port 0 lets the
system choose, and the one that it has picked is printed.

A file of rules is YAML or JSON:
  rules:
    - on: {to: device, type: PUBACK}
      do: [drop]
      times: 2
  link:
    - latency: {by: 200ms, jitter: 50ms}
  transport:
    - expired-certificate
    - {stall: {before: server-hello, for: 5s}, times: 1}
    - {status: 403, nth: 2}
  names:
    hosts: {broker.bench: 192.168.1.10}
    faults:
      - {does-not-exist: broker.bench, times: 2}
--transport takes TLS and WebSocket off towards the device, so that packets are seen, and the faults of the
section transport strike. A certificate authority is made at each start: flash what is in --ca-out. TLS
that is to stay closed goes through as it is with --transport tcp --unread. --dns answers a device's
questions as the section names says.

--record makes a folder that mqtthil report renders; --replay takes a record from there and does again
to the same packets, by their number on their connection, what was done to them.

--toxiproxy-api serves the API of Toxiproxy, so that toxiproxy-cli and the clients that there are for
many languages make proxies and toxics while it runs, and beside it an API for rules, conditions, faults
of the transport and connections under /proxies/NAME. The proxy of --listen is there under the name ` + proxyName + `. --config takes
Toxiproxy's file of proxies; each may have toxics, conditions and rules in it.

Exit codes: 0 ended by Ctrl-C, 2 usage, 3 infrastructure: no port, or a record that could not be
written to its end.`,
		Example: `  mqtthil proxy --upstream broker.example:1883 --print
  mqtthil proxy --listen 0.0.0.0:1883 --upstream 127.0.0.1:1884 --rules rules.yaml --record out/field
  mqtthil proxy --upstream 127.0.0.1:1884 --replay out/field/scenarios/001-mqtt.jsonl
  mqtthil proxy --listen 192.168.1.10:8883 --transport tls --ca-out flash --upstream mqtts://broker.example --print
  mqtthil proxy --listen 0.0.0.0:443 --transport wss --name bench.local --ca-out flash --upstream 127.0.0.1:1883
  mqtthil proxy --listen 192.168.1.10:1883 --upstream broker.example:1883 --dns 192.168.1.10:53 --rules rules.yaml
  mqtthil proxy --toxiproxy-api :8474
  mqtthil proxy --upstream 127.0.0.1:1884 --toxiproxy-api :8474 &
  toxiproxy-cli toxic add -t latency -a latency=500 mqtt
  curl -d '{"on": {"to": "device", "type": "PUBACK"}, "do": ["drop"]}' localhost:8474/proxies/mqtt/rules
  mqtthil report out/field`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p.command = os.Args
			return p.run(c)
		},
	}
	f := c.Flags()
	f.StringVar(&p.listen, "listen", "", "address that devices connect to: [HOST:]PORT (default "+defaultListen+")")
	p.device.add(c)
	p.upstream.add(c)
	f.StringVar(&p.names.listen, "dns", "", "address to serve the names of --rules on, by DNS on UDP and TCP: [HOST:]PORT")
	f.StringVar(&p.rules, "rules", "", "file of rules, conditions, and faults of transport and names, in YAML or JSON")
	f.StringVar(&p.replay, "replay", "", "do what was done in this record, to the same packets")
	f.StringVar(&p.record, "record", "", "folder to make, for a record of everything")
	f.BoolVar(&p.summary, "summary", false, "leave packets out of the record that no rule acts on")
	f.BoolVar(&p.print, "print", false, "show packets as they pass, a line each")
	f.BoolVar(&p.unread, "unread", false, "do not look for packets: fastest, and for what is no MQTT")
	f.Uint64Var(&p.seed, "seed", 0, "of what is left to chance; 0 takes that of --rules, or else one from the time")
	f.StringVar(&p.api, "toxiproxy-api", "", "address to serve the API on: [HOST:]PORT; Toxiproxy's port is 8474")
	f.StringVar(&p.config, "config", "", "file of proxies to make, in Toxiproxy's JSON")
	return c
}

// check finds what does not go together, and completes the addresses.
func (p *proxying) check() error {
	switch {
	case p.upstream.address == "" && p.listen != "":
		return usage("--listen: relay to where? name the broker by --upstream HOST:PORT")
	case p.upstream.address == "" && p.api == "" && p.config == "":
		return usage("what is to be relayed? name a broker by --upstream HOST:PORT, or have proxies made by --toxiproxy-api or --config")
	case p.upstream.address == "" && (p.rules != "" || p.replay != ""):
		return usage("--rules and --replay are for the proxy of --upstream; those of --toxiproxy-api and --config have rules of their own")
	case p.upstream.address == "" && (p.device.transport != "tcp" || p.names.listen != ""):
		return usage("--transport and --dns belong to the proxy of --upstream; name its broker")
	case p.names.listen != "" && p.rules == "":
		return usage("--dns serves the names of a rule file: name it by --rules, with names: {hosts: {broker.bench: 192.168.1.10}} in it")
	case p.unread && (p.print || p.replay != ""):
		return usage("--unread looks for no packets, so that --print and --replay would find none")
	case p.summary && p.record == "":
		return usage("--summary is about the record: name its folder by --record")
	case p.summary && p.print:
		return usage("--summary leaves out the packets that --print is to show")
	}
	if err := p.upstream.check(); err != nil {
		return err
	}
	for flag, address := range map[string]*string{"--listen": &p.listen, "--toxiproxy-api": &p.api, "--dns": &p.names.listen} {
		given := *address
		if flag == "--listen" {
			given = cmp.Or(given, defaultListen)
		} else if given == "" {
			continue
		}
		var err error
		if *address, err = toxiproxy.ListenAddress(given); err != nil {
			return usage("%s: %w", flag, err)
		}
	}
	if p.upstream.address == p.listen {
		return usage("--upstream %s is the proxy itself; name another port by --listen", p.upstream.address)
	}
	return p.device.check(p.listen, p.record)
}

// load reads what --rules and --replay name.
func (p *proxying) load(say func(string)) (rulefile.File, error) {
	var file rulefile.File
	if p.rules != "" {
		text, err := os.ReadFile(p.rules)
		if err != nil {
			return file, usage("--rules: %w", err)
		}
		if file, err = rulefile.Parse(text); err != nil {
			return file, usage("--rules %s: %w", p.rules, err)
		}
		if p.unread && len(file.Rules) > 0 {
			return file, usage("--unread looks for no packets, so that the rules of %s would never match", p.rules)
		}
	}
	switch {
	case file.Names != nil && p.names.listen == "":
		return file, usage("--rules %s: nobody is told of its names; serve them by --dns [HOST:]PORT", p.rules)
	case file.Names == nil && p.names.listen != "":
		return file, usage("--dns: there are no names in %s; give it names: {hosts: {broker.bench: 192.168.1.10}}", p.rules)
	}
	if p.replay != "" {
		rules, err := readReplay(p.replay, say)
		if err != nil {
			return file, err
		}
		file.Rules = append(file.Rules, rules...)
	}
	if p.seed == 0 && file.Seed != nil {
		p.seed = *file.Seed
	}
	for p.seed == 0 {
		p.seed = rand.Uint64N(1 << 32) // short enough to be typed in again
	}
	return file, p.device.prepare(file.Transport)
}

// readReplay makes rules of a record.
func readReplay(path string, say func(string)) ([]faults.Rule, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage("--replay: %w", err)
	}
	defer f.Close()
	events, err := timeline.Read(f)
	switch {
	case errors.Is(err, timeline.ErrCutOff):
		say(fmt.Sprintf("--replay %s: %v; it is replayed up to there", path, err))
	case err != nil:
		return nil, usage("--replay %s: %w; it is a record such as out/field/scenarios/001-mqtt.jsonl", path, err)
	}
	rules, err := faults.Replay(events)
	switch {
	case err != nil:
		return nil, usage("--replay %s: %w", path, err)
	case len(rules) == 0:
		return nil, usage("--replay %s: nothing was done to any packet there, so that there is nothing to do again", path)
	}
	return rules, nil
}

// run relays until the user ends it.
func (p *proxying) run(c *cobra.Command) error {
	if err := p.check(); err != nil {
		return err
	}
	// A reader that has gone, as in mqtthil proxy --print | head, must not end what goes through the proxy.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	stderr := timeline.NewSpool(c.ErrOrStderr(), func(error) {}) // there is nobody left to tell
	defer stderr.Close()
	say := func(text string) { stderr.Add([]byte("mqtthil: " + printable(text) + "\n")) }
	stdout := timeline.NewSpool(c.OutOrStdout(), func(err error) {
		say(fmt.Sprintf("standard output has gone (%v); relaying goes on", err))
	})
	defer stdout.Close()

	file, err := p.load(say)
	if err != nil {
		return err
	}
	return p.serve(ctx, stop, file, stdout, say)
}

// serve makes all proxies, waits for the end, and says what they have done.
func (p *proxying) serve(ctx context.Context, stop func(), file rulefile.File, stdout *timeline.Spool, say func(string)) error {
	out := &lines{spool: stdout}
	options := toxiproxy.Options{
		Seed: p.seed, Unread: p.unread, Notice: say, Version: harness.Version(),
		Summary: !p.print && (p.record == "" || p.summary),
	}
	var folder *recordFolder
	if p.record != "" {
		var err error
		if folder, err = newRecordFolder(p.record, p.command, p.seed, say); err != nil {
			return err
		}
	}
	options.Record = func(proxy, listen, upstream string) (faults.Record, func(), error) {
		w := &watch{proxy: proxy, upstream: upstream, say: say}
		if p.print {
			w.show = out.printf
		}
		return w.open(folder, listen)
	}
	server := toxiproxy.New(options)
	end := sync.OnceFunc(func() {
		p.device.close()
		p.names.close()
		server.Close()
	})
	defer end()

	out.printf("seed %d\n", p.seed)
	err := p.makeProxies(ctx, server, file, out, say)
	if err == nil {
		err = p.serveAPI(ctx, server, out, say)
	}
	if err == nil {
		out.printf("Ctrl-C ends it\n")
		<-ctx.Done()
		stop() // a second one ends the program at once
	}
	proxies := server.Proxies()
	end()
	if err == nil {
		_ = stdout.Flush() // so that there is room for the summary; that it fails has been said
		for _, proxy := range proxies {
			summarise(out, proxy)
		}
		p.names.summarise(out)
	}
	if folder != nil {
		err = errors.Join(err, folder.close(out))
	}
	return err
}

// makeProxies makes those of --config and of --upstream.
func (p *proxying) makeProxies(ctx context.Context, server *toxiproxy.Server, file rulefile.File, out *lines, say func(string)) error {
	if p.config != "" {
		text, err := os.ReadFile(p.config)
		if err != nil {
			return usage("--config: %w", err)
		}
		if _, err := server.Populate(text); err != nil {
			return blame(fmt.Sprintf("--config %s: ", p.config), err)
		}
	}
	own, err := p.makeOwn(ctx, server, file)
	if err != nil {
		return err
	}
	for _, proxy := range server.Proxies() {
		out.printf("proxy %s at %s, to %s\n", proxy.Name(), proxy.Listen(), proxy.Upstream())
		if proxy == own {
			p.device.describe(out, say)
		}
		for _, c := range proxy.Faults().Conditions() {
			out.printf("  link: %s\n", c)
		}
		for _, r := range proxy.Faults().Rules() {
			out.printf("  rule %d: %s\n", r.Number(), r)
		}
		for _, f := range transportFaults(proxy) {
			out.printf("  transport fault %d: %s\n", f.Number(), f)
		}
	}
	p.names.describe(out, say)
	return nil
}

// makeOwn makes the proxy of --upstream with all that is around it; nil where there is none.
func (p *proxying) makeOwn(ctx context.Context, server *toxiproxy.Server, file rulefile.File) (*toxiproxy.Proxy, error) {
	if p.upstream.address == "" {
		return nil, nil
	}
	if err := p.device.write(); err != nil {
		return nil, err
	}
	var record faults.Record
	proxy, err := server.Create(toxiproxy.Spec{
		Name: proxyName, Listen: p.device.behind(p.listen), Upstream: p.upstream.address,
		Conditions: file.Link, Rules: file.Rules, Dial: p.upstream.dial(),
		Front: func(r faults.Record) (*transport.Front, error) {
			record = r
			return p.device.front(file.Transport, r)
		},
	})
	if err != nil {
		return nil, blame("", err)
	}
	if err := p.device.shield(ctx, p.listen, proxy.Listen()); err != nil {
		return nil, infrastructure(err)
	}
	if err := p.names.serve(file.Names, record); err != nil {
		return nil, infrastructure(err)
	}
	return proxy, nil
}

// transportFaults are the faults of a proxy's transport.
func transportFaults(proxy *toxiproxy.Proxy) []*transport.Armed {
	if proxy.Front() == nil {
		return nil
	}
	return proxy.Front().Faults()
}

// blame says whether an error is the user's or the machine's.
func blame(doing string, err error) error {
	var refused *toxiproxy.Error
	if errors.As(err, &refused) && refused.Status < 500 {
		return usage("%s%w", doing, err)
	}
	return infrastructure(fmt.Errorf("%s%w", doing, err))
}

// serveAPI serves the API, if it is asked for, until the server is closed.
func (p *proxying) serveAPI(ctx context.Context, server *toxiproxy.Server, out *lines, say func(string)) error {
	if p.api == "" {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", p.api)
	if err != nil {
		return infrastructure(fmt.Errorf("the API: %w; name another address by --toxiproxy-api", err))
	}
	out.printf("API at http://%s\n", l.Addr())
	if toxiproxy.OpenToOthers(l.Addr()) {
		say(fmt.Sprintf("the API listens on %s, where everybody who reaches this machine can make proxies", l.Addr()))
	}
	go func() {
		if err := server.Serve(l); err != nil {
			say(err.Error())
		}
	}()
	return nil
}

// summarise says what has gone through a proxy, and what its rules have done.
func summarise(out *lines, proxy *toxiproxy.Proxy) {
	traffic := proxy.Faults().Traffic()
	text := fmt.Sprintf("proxy %s: %s", proxy.Name(), counted(traffic.Connections, "connection"))
	if traffic.Failed > 0 {
		text += fmt.Sprintf(", %d more that did not get to %s", traffic.Failed, proxy.Upstream())
	}
	out.printf("%s\n", text)
	for _, d := range []struct {
		name   string
		counts faults.Counts
	}{{"from the device", traffic.FromDevice}, {"to the device", traffic.ToDevice}} {
		out.printf("  %s: %s, %s in, %s out\n", d.name, counted(d.counts.Packets.Sum(), "packet"),
			counted(d.counts.Received, "byte"), counted(d.counts.Sent, "byte"))
	}
	var idle []string
	for _, r := range proxy.Faults().Rules() {
		out.printf("  rule %d matched %d, fired %d: %s\n", r.Number(), r.Matched(), r.Fired(), r)
		if r.Fired() == 0 {
			idle = append(idle, fmt.Sprint(r.Number()))
		}
	}
	if len(idle) > 0 {
		out.printf("  rules that never fired: %s\n", strings.Join(idle, ", "))
	}
	idle = nil
	for _, f := range transportFaults(proxy) {
		out.printf("  transport fault %d fired %d: %s\n", f.Number(), f.Fired(), f)
		if f.Fired() == 0 {
			idle = append(idle, fmt.Sprint(f.Number()))
		}
	}
	if len(idle) > 0 {
		out.printf("  transport faults that never fired: %s\n", strings.Join(idle, ", "))
	}
}

func counted(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// lines is standard output. What there is no room for is left out, or a terminal that stands still would hold the proxy up.
type lines struct {
	spool *timeline.Spool

	mu      sync.Mutex
	missing int // lines that were left out since the last one that was not
}

func (l *lines) printf(format string, arguments ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text []byte
	if l.missing > 0 {
		text = fmt.Appendf(nil, "… %d lines are missing here, for they came faster than they could be shown\n", l.missing)
	}
	if l.spool.Add(fmt.Appendf(text, format, arguments...)) {
		l.missing = 0
	} else {
		l.missing++
	}
}
