package espmqtt

// SetURI is esp_mqtt_client_set_uri: it counts from the next connection on (ESP-CFG-43). A URI that is wrong changes
// nothing (ESP-URI-10); of one without a port, the old one stays (ESP-URI-09).
func (c *Client) SetURI(uri string) error {
	defer c.lock()()
	s := c.settings
	if !c.does(QuirkStickyPort) {
		s.port = 0
	}
	if err := s.applyURI(uri, c.has(CredentialsNotDecoded)); err != nil {
		c.log('E', "Error parse uri = %s", uri)
		return err
	}
	c.settings = s
	return nil
}
