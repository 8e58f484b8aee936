package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/viper"
)

// maxFile bounds the configuration and the files of secrets.
const maxFile = 1 << 20

// Load reads a file, the environment over it and the files of secrets. Without
// a file the demo takes its place. The error for what the file says is an
// *Error.
func Load(file string) (Config, error) {
	if file == "" {
		return Parse([]byte(DemoYAML))
	}
	data, err := readFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	cfg, err := Parse(data)
	if bad, ok := errors.AsType[*Error](err); ok {
		bad.File = file
	}
	return cfg, err
}

// Parse is Load for the content of a file.
func Parse(data []byte) (Config, error) {
	l := &loader{viper: viper.New(), cfg: Default(), fromEnv: map[string]bool{}}
	l.lines = map[string]int{}
	l.checkForm(data)
	l.read(data)
	if l.broken {
		return Config{}, l.err(nil)
	}
	l.checkEnv(os.Environ())
	for _, f := range fields {
		l.set(f)
	}
	l.normalise()
	l.validate()
	l.problems = sorted(l.problems)
	if err := l.err(l.fromEnv); err != nil {
		return Config{}, err
	}
	return l.cfg, nil
}

// loader makes one Config.
type loader struct {
	collector
	viper   *viper.Viper
	cfg     Config
	fromEnv map[string]bool
	broken  bool // the file is no YAML, nothing more can be said
}

// read gives the file and the environment to viper. Its keys are lower case
// and may hold dots, hence checkForm has seen the file before.
func (l *loader) read(data []byte) {
	l.viper.SetConfigType("yaml")
	if l.broken {
		return
	}
	if err := l.viper.ReadConfig(bytes.NewReader(data)); err != nil {
		l.notYAML(err)
		return
	}
	for _, key := range keys() {
		name := env(key)
		_ = l.viper.BindEnv(key, name) // fails for no key only
		l.fromEnv[key] = os.Getenv(name) != ""
	}
}

func (l *loader) notYAML(err error) {
	l.broken = true
	text := strings.TrimPrefix(err.Error(), "While parsing config: ")
	text = strings.TrimPrefix(strings.ReplaceAll(text, "\n", " "), "yaml: ")
	l.add("", "no YAML: %s", text)
}

// set reads one key.
func (l *loader) set(f field) {
	if raw := l.viper.Get(f.path); raw != nil {
		if v := f.in(&l.cfg); isItems(v.Type()) {
			l.setItems(f.path, v, raw, l.fromEnv[f.path])
		} else if err := decode(f.in(&l.cfg), raw, l.fromEnv[f.path]); err != nil {
			l.add(f.path, "%v", err)
		}
	}
	if !f.secret() {
		return
	}
	key := f.path + fileSuffix
	name, isText := l.viper.Get(key).(string)
	switch {
	case l.viper.Get(key) == nil:
	case !isText || name == "":
		l.add(key, "is no name of a file")
	case l.viper.Get(f.path) != nil:
		l.add(key, "%s is set too, keep one of them", f.path)
	default:
		secret, err := readFile(name)
		if err != nil {
			l.add(key, "%v", err)
			return
		}
		f.in(&l.cfg).SetString(strings.TrimRight(string(secret), "\r\n"))
	}
}

// checkEnv finds misspelt variables. Others that begin with DESKLINE_ are let
// be, for scripts have their own and Kubernetes makes DESKLINE_SERVICE_HOST and
// the like for a service of this name.
func (l *loader) checkEnv(environ []string) {
	known := map[string]bool{}
	names := make([]string, 0, len(fields))
	for _, key := range keys() {
		known[env(key)] = true
		names = append(names, env(key))
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "DESKLINE_") || known[name] || value == "" {
			continue
		}
		for _, section := range sections {
			if strings.HasPrefix(name, env(section)+"_") && !madeByKubernetes(name) {
				l.add(name, "unknown environment variable%s", meant(name, names))
				break
			}
		}
	}
}

func madeByKubernetes(name string) bool {
	return strings.Contains(name, "_SERVICE_") || strings.HasSuffix(name, "_PORT") || strings.Contains(name, "_PORT_")
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is above %s", name, Size(maxFile))
	}
	return data, nil
}
