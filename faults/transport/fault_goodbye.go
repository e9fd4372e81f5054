package transport

// NoCloseNotify has the server end a TLS connection with FIN alone, as a server does that has died.
func NoCloseNotify() Fault {
	return Fault{kind: noCloseNotify{}}
}

type noCloseNotify struct{}

func (noCloseNotify) String() string             { return "no close_notify" }
func (noCloseNotify) needs() layer               { return layerTLS }
func (noCloseNotify) prepare(p *plan, c *chance) { p.mute = append(p.mute, c) }
