package testbed

import (
	"strings"
	"testing"
)

func TestBed(t *testing.T) {
	b := Up(t, Options{})
	for _, host := range []string{Login, GPU1} {
		if got := strings.TrimSpace(b.Run(Laptop, "ssh", host, "hostname")); got != host {
			t.Errorf("ssh %s reaches %q", host, got)
		}
	}
	if got := strings.TrimSpace(b.Run(Laptop, "ssh", Login, "srun", "-N1", "--gres=gpu:1", "hostname")); !strings.HasPrefix(got, "gpu0") {
		t.Errorf("a job ran on %q", got)
	}
	b.Run(GPU1, "touch", "/tmp/mine", "/root/ours")
	if b.Run(Login, "sh", "-c", "ls /tmp/mine 2>/dev/null; ls /root/ours") != "/root/ours\n" {
		t.Error("the nodes should share their home, and not /tmp")
	}
	before := b.Bytes()
	if b.Run(Laptop, "ssh", Login, "head -c 200000 /dev/urandom | base64"); b.Bytes()-before < 200_000 {
		t.Errorf("%d bytes went over the link", b.Bytes()-before)
	}
	b.Cable(false)
	if _, _, err := b.Try(Laptop, "ssh", "-oConnectTimeout=1", Login, "true"); err == nil {
		t.Error("the cable is pulled and ssh reaches the login node")
	}
	b.Cable(true)
	b.Move("10.99.1.7")
	b.Shape("1mbit")
	if got := b.Run(Laptop, "ssh", Login, "echo $SSH_CONNECTION"); !strings.HasPrefix(got, "10.99.1.7 ") {
		t.Errorf("the laptop comes from %q", got)
	}
	b.Stop(Login)
	b.Start(Login)
	b.Run(Laptop, "ssh", Login, "true")
}
