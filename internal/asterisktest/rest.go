package asterisktest

import "fmt"

// restModules are those of the REST interface. Asterisk 16 has no res_websocket_client, which 22 needs.
var restModules = []string{
	"res_sorcery_config", "res_websocket_client", "res_http_websocket", "res_stasis", "res_stasis_device_state", "res_ari", "res_ari_model", "res_ari_applications", "res_ari_asterisk", "res_ari_device_states",
	"res_ari_endpoints", "res_ari_events",
}

// ARI is the address of the REST interface.
func (p *PBX) ARI() string { return "http://" + local(p.http) + "/ari" }

// ARITLS is the address of the REST interface over TLS.
func (p *PBX) ARITLS() string { return fmt.Sprintf("https://localhost:%d/ari", p.https) }

// rest configures the REST interface. User may do all there is, Modest may only read.
func (p *PBX) rest(cfg Config) {
	p.t.Helper()
	server := fmt.Sprintf("[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport=%d\n", p.http)
	if cfg.CertFile != "" {
		server += fmt.Sprintf("tlsenable=yes\ntlsbindaddr=127.0.0.1:%d\ntlscertfile=%s\n", p.https, cfg.CertFile)
	}
	p.write("etc/http.conf", server)
	p.write("etc/ari.conf", fmt.Sprintf("[general]\nenabled=yes\n[%s]\ntype=user\npassword=%s\n[%s]\ntype=user\nread_only=yes\npassword=%s\n", User, Secret, Modest, Secret))
}
