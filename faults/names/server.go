package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// timeToLive is how long a device may keep an answer, in seconds: not at all, so that each lookup is one.
const timeToLive = 0

// Server answers a device's questions by DNS, on UDP and on TCP.
type Server struct {
	address net.Addr
	servers [2]*dns.Server
	cancel  context.CancelFunc
	ended   chan error
}

// Serve starts a DNS server for the names of the table on an address, where port 0 chooses one that is free for both UDP
// and TCP. It returns when questions are answered. A name that is not in the table does not exist.
func (t *Table) Serve(address string) (*Server, error) {
	packets, listener, err := listenBoth(address)
	if err != nil {
		return nil, fmt.Errorf("DNS server: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{address: listener.Addr(), cancel: cancel, ended: make(chan error, 2)}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) { t.answer(ctx, w, question) })
	started := make(chan struct{}, 2)
	s.servers = [2]*dns.Server{{PacketConn: packets}, {Listener: listener}}
	for _, server := range s.servers {
		server.Handler = handler
		server.NotifyStartedFunc = func() { started <- struct{}{} }
		go func() { s.ended <- server.ActivateAndServe() }()
	}
	for range s.servers {
		select {
		case <-started:
		case err := <-s.ended: // it cannot be both: the other one has not ended
			s.ended <- nil
			_ = s.Close()
			return nil, fmt.Errorf("DNS server on %s: %w", address, err)
		}
	}
	return s, nil
}

// listenBoth finds a port for UDP and TCP at once. What is free for the one may be taken for the other.
func listenBoth(address string) (packets net.PacketConn, listener net.Listener, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for range 10 {
		if listener, err = net.Listen("tcp", address); err != nil {
			return nil, nil, err
		}
		_, chosen, _ := net.SplitHostPort(listener.Addr().String())
		if packets, err = net.ListenPacket("udp", net.JoinHostPort(host, chosen)); err == nil {
			return packets, listener, nil
		}
		_ = listener.Close()
		if port != "0" {
			break
		}
	}
	return nil, nil, err
}

// Addr is what devices ask, on UDP and TCP alike.
func (s *Server) Addr() string { return s.address.String() }

// Close ends the server; questions that wait for an answer get none. It returns when nothing of the server runs any more.
func (s *Server) Close() error {
	s.cancel()
	var failed []error
	for _, server := range s.servers {
		failed = append(failed, server.Shutdown())
	}
	for range s.servers {
		failed = append(failed, <-s.ended)
	}
	return errors.Join(failed...)
}

// answer answers one question, on a goroutine of its own.
func (t *Table) answer(ctx context.Context, w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative, answer.RecursionAvailable = true, true
	if len(question.Question) != 1 || question.Opcode != dns.OpcodeQuery {
		_ = w.WriteMsg(answer.SetRcode(question, dns.RcodeNotImplemented))
		return
	}
	asked := question.Question[0]
	found := t.look(asked.Name, dns.TypeToString[asked.Qtype])
	e := found.effect
	if e.silent {
		return
	}
	if e.late > 0 {
		timer := time.NewTimer(e.late)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
	switch {
	case e.missing:
		answer.Rcode = dns.RcodeNameError
	case e.broken:
		answer.Rcode = dns.RcodeServerFailure
	case e.address != "":
		host, _ := splitOptionalPort(e.address)
		answer.Answer = records(asked, []string{host})
	case !found.known, len(found.addresses) == 0:
		answer.Rcode = dns.RcodeNameError
	default:
		answer.Answer = records(asked, found.addresses)
	}
	if _, overUDP := w.RemoteAddr().(*net.UDPAddr); overUDP {
		size := dns.MinMsgSize
		if extended := question.IsEdns0(); extended != nil {
			size = max(size, int(extended.UDPSize()))
		}
		answer.Truncate(size) // who wants the rest asks again over TCP
	}
	_ = w.WriteMsg(answer) // a device that has gone does not want to know
}

// records are the addresses that a question asks for.
func records(asked dns.Question, addresses []string) (out []dns.RR) {
	for _, text := range addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		header := dns.RR_Header{Name: asked.Name, Rrtype: asked.Qtype, Class: dns.ClassINET, Ttl: timeToLive}
		switch {
		case asked.Qtype == dns.TypeA && address.Is4():
			out = append(out, &dns.A{Hdr: header, A: address.AsSlice()})
		case asked.Qtype == dns.TypeAAAA && address.Is6():
			out = append(out, &dns.AAAA{Hdr: header, AAAA: address.AsSlice()})
		}
	}
	return out
}
