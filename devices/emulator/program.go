package emulator

import (
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/esptls"
)

// Firmware is what is in the board's flash: an application, and what that is built with.
type Firmware struct {
	App string // its name, one of Apps; default conformance
	URI string // of the broker, for an application that has one built in; default: its own

	// The application's files, in PEM or DER: the authority that it trusts, and what it proves itself with. The first is
	// also what is in the global CA store, and the key that of the digital signature peripheral.
	CA, Certificate, Key []byte
	KeyPassword          string
	PSK                  *espmqtt.PSK // the key that it shares with the broker
}

// App describes an application that a board can run.
type App struct {
	Name  string
	About string
	URI   string   // of the broker that it goes to by default; empty where it is told on the console
	Needs []string // the fields of Firmware that it has no default for
	// Console is the language of its console, as package console calls it; empty where it takes no commands.
	Console string
}

// Apps are all the applications that a board can run.
func Apps() (apps []App) {
	for _, a := range applications {
		apps = append(apps, a.App)
	}
	return apps
}

// AppOf is the application whose console speaks a language.
func AppOf(console string) (App, error) {
	var known []string
	for _, a := range applications {
		switch a.Console {
		case console:
			return a.App, nil
		case "":
		default:
			known = append(known, a.Console)
		}
	}
	return App{}, fmt.Errorf("%w: no application has the console %q; there are %s", ErrFirmware, console, strings.Join(known, ", "))
}

// ErrFirmware is why a board cannot run what it is told to.
var ErrFirmware = errors.New("firmware")

// Validate says what is wrong with the firmware, if anything.
func (f *Firmware) Validate() error {
	a, err := f.application()
	if err != nil {
		return err
	}
	has := map[string]bool{needCA: f.CA != nil, needCertificate: f.Certificate != nil, needKey: f.Key != nil,
		needPSK: f.PSK != nil}
	for _, need := range a.Needs {
		if !has[need] {
			return fmt.Errorf("%w: application %s has no %s; it needs %s", ErrFirmware, a.Name, need,
				strings.Join(a.Needs, ", "))
		}
	}
	if _, err := f.signer(); err != nil && a.digitalSignature {
		return fmt.Errorf("%w: application %s: %w", ErrFirmware, a.Name, err)
	}
	return nil
}

// Validate says what is wrong with the board's firmware and its build, if anything.
func (o *Options) Validate() error {
	if err := o.Firmware.Validate(); err != nil {
		return err
	}
	a, _ := o.application()
	if o.Kconfig != nil && o.Kconfig.CustomOutbox && a.newOutbox == nil && o.NewOutbox == nil {
		return fmt.Errorf("%w: application %s brings no outbox, and a build with MQTT_CUSTOM_OUTBOX=y has none of its own; "+
			"application custom_outbox brings one", ErrFirmware, a.Name)
	}
	if o.Kconfig != nil && !o.Kconfig.Protocol5 && a.speaks5 {
		return fmt.Errorf("%w: application %s speaks MQTT 5.0 only; build it with MQTT_PROTOCOL_5=y", ErrFirmware, a.Name)
	}
	return nil
}

// application finds the application by its name.
func (f *Firmware) application() (*application, error) {
	var names []string
	for i := range applications {
		if a := &applications[i]; f.App == a.Name || f.App == "" {
			return a, nil // conformance is the first
		}
		names = append(names, applications[i].Name)
	}
	return nil, fmt.Errorf("%w: unknown application %q; it is one of %s", ErrFirmware, f.App, strings.Join(names, ", "))
}

// DefaultKconfig gives the build options of the application: those of an untouched build, but for what it needs.
func (f *Firmware) DefaultKconfig() espmqtt.Kconfig {
	kconfig := espmqtt.DefaultKconfig()
	if a, err := f.application(); err == nil && a.sdkconfig != nil {
		a.sdkconfig(&kconfig)
	}
	return kconfig
}

// signer is the digital signature peripheral; nil without a key.
func (f *Firmware) signer() (crypto.Signer, error) {
	if f.Key == nil {
		return nil, nil
	}
	return esptls.NewSigner(f.Key, []byte(f.KeyPassword))
}

// application is a program that a board's flash can hold.
type application struct {
	App
	project          string // its name in the boot log
	tag              string // of its log lines
	digitalSignature bool
	speaks5          bool // only
	sdkconfig        func(*espmqtt.Kconfig)
	newOutbox        func(*power) espmqtt.Outbox // that it brings; nil: none
	program          func(*power, *application) program
}

// greet is how an application's log begins.
func (a *application) greet(p *power) {
	if a.URI != "" {
		p.log('I', a.tag, "[APP] Startup..")
	}
	p.logMemory(a.tag)
	p.log('I', a.tag, "[APP] IDF version: "+idfVersion)
}

func (p *power) logMemory(tag string) {
	p.log('I', tag, fmt.Sprintf("[APP] Free memory: %d bytes", p.heap.left()))
}

// program is an application while the board has power.
type program interface {
	run()      // until it has nothing more to do, or the power goes
	powerOff() // takes the power of its clients away; it returns when their tasks have ended
}

// newClient makes a client of this board.
func (p *power) newClient(config espmqtt.Config, handler func(espmqtt.Event)) (*espmqtt.Client, error) {
	options := p.board.options
	return espmqtt.New(config, *options.Kconfig, p.environment(), options.Behaviour, handler)
}

// environment is what a client finds on this board.
func (p *power) environment() espmqtt.Environment {
	options := p.board.options
	e := espmqtt.Environment{
		MAC:    options.MAC,
		Boot:   p.on,
		Random: rand.New(rand.NewPCG(p.random.Uint64(), p.random.Uint64())),
		Dial:   p.dial,
		Log:    p.log,
		Wake:   func() { p.wake(wakeCost) },
		Yield:  func() { p.wake(turn) },
		Memory: p,
		Panic:  func() { p.panic(BadLoad) },

		NewTimer:  options.NewTimer,
		NewOutbox: options.NewOutbox,

		GlobalCAStore: options.CA,
	}
	if own := p.board.application.newOutbox; own != nil && e.NewOutbox == nil {
		e.NewOutbox = func() espmqtt.Outbox { return own(p) }
	}
	if signer, err := options.signer(); err == nil { // a key that cannot be read is none: the client will say so
		e.Signer = signer
	}
	return e
}
