package remote

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Call is a command of the program on the host, as `at-host` gets it.
type Call struct {
	Args []string `json:"args"`
	// HangUp: the command is to end when its standard input does.
	HangUp bool `json:"hang_up,omitempty"`
	// Settings are lines of config.toml that count for this call, such as the profiles of batch systems that the person keeps at home.
	Settings string `json:"settings,omitempty"`
}

// encode makes hexadecimal digits of a call: one word in every shell.
func (c Call) encode() string {
	text, _ := json.Marshal(c) // strings only: never fails
	return hex.EncodeToString(text)
}

// Decode reads what encode made; arg is the argument of `at-host`.
func Decode(arg string) (c Call, err error) {
	text, err := hex.DecodeString(arg)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return Call{}, errors.New("the call is damaged: this command is for the program itself, at the other end of ssh")
	}
	return c, nil
}

// places are the folders on the host that the program may be kept in, the best first. They are words of sh.
var places = []string{
	`"${XDG_CACHE_HOME:-$HOME/.cache}/anomalymatch"`,
	`"$HOME/.anomalymatch"`,
	`"${TMPDIR:-/tmp}/anomalymatch-bin-$(id -u)"`,
}

// script makes ssh's command line of a program for sh. sshd gives it to the person's login shell, which may be csh or fish: so it is one
// word in single quotes that holds none of what is special there in any shell.
func script(text string) string {
	text = strings.NewReplacer("then\n", "then ", "\n", ";").Replace(strings.TrimSpace(text))
	if strings.ContainsAny(text, "'!\\\x00\r") {
		panic("remote: a script holds what csh or fish would change: " + text)
	}
	return "exec /bin/sh -c '" + text + "'"
}

// hash prints the SHA-256 of "$f", whatever the host has for that. openssl first: it is five times as fast as sha256sum often is.
const hash = `{ openssl dgst -sha256 -r||sha256sum||shasum -a 256;}<"$f" 2>/dev/null`

// system sets s to the SHA-256 of the program for this machine, or to nothing.
func (h *Host) system() string {
	var b strings.Builder
	b.WriteString("case $(uname -s)-$(uname -m) in ")
	for _, p := range h.programs {
		fmt.Fprintf(&b, "%s)s=%s n=%s;;", p.uname(), p.SHA256, p.name())
	}
	b.WriteString("*)s= n=;;esac")
	return b.String()
}

// runScript finds the program, checks it and becomes it; where it is not there, it says so and what machine this is.
func (h *Host) runScript(nonce string, c Call) string {
	return script(`cd 2>/dev/null||cd /
` + h.system() + `
if test -n "$s";then for d in ` + strings.Join(places, " ") + `;do f=$d/$n
if test -f "$f"&&test -x "$f"&&test -O "$f"&&test -O "$d";then case $(` + hash + `) in $s*)touch -c "$f"
echo ` + mark(nonce) + `ok
exec "$f" at-host ` + c.encode() + `;;esac;fi;done;fi
echo ` + mark(nonce) + `missing $(uname -s) $(uname -m) $(command -v gzip)
exit ` + fmt.Sprint(exitMissing))
}

// exitMissing is the exit status of runScript where the program is not there.
const exitMissing = 90

// bringScript takes the program from standard input into the place and checks it. It says "stored", or "failed" and at what.
func bringScript(nonce string, p Program, place int, zipped bool) string {
	unpack := "cat"
	if zipped {
		unpack = "gzip -dc"
	}
	return script(`cd 2>/dev/null||cd /
umask 077
d=` + places[place] + `
mkdir -p "$d" 2>/dev/null
chmod 700 "$d" 2>/dev/null
f=$d/part-` + nonce + `
w=folder
if test -d "$d"&&test -O "$d"&&test -w "$d"&&{ echo exit 0 >"$f";} 2>/dev/null;then
w=exec
chmod 700 "$f"
if "$f" 2>/dev/null;then
w=space
if ` + unpack + ` >"$f"&&test $(wc -c <"$f") -eq ` + decimal(p.Size) + `;then
w=hash
case $(` + hash + `) in ` + p.SHA256 + `*)w=name
chmod 500 "$f"&&mv -f "$f" "$d/` + p.name() + `"&&w=;;esac
fi;fi;fi
if test -z "$w";then
find "$d" -name "anomalymatch-*" -mtime +30 -exec rm -f {} +
find "$d" -name "part-*" -mtime +1 -exec rm -f {} +
echo ` + mark(nonce) + `stored
else rm -f "$f"
echo ` + mark(nonce) + `failed $w
exit 91
fi`)
}
