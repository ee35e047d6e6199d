// Package steps runs the steps of a Go client program, prints them and counts them.
package steps

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"
)

var passed, failed int

// Do runs a step and gives back what it returned; an error fails it.
func Do[T any](name string, action func() (T, error)) T {
	got, err := action()
	if err != nil {
		fail(name, err.Error())
		return got
	}
	passed++
	fmt.Println("ok", name)
	return got
}

// Expect runs a step that must return what is expected.
func Expect[T any](name string, expected T, action func() (T, error)) {
	got, err := action()
	switch {
	case err != nil:
		fail(name, err.Error())
	case !reflect.DeepEqual(got, expected):
		fail(name, fmt.Sprintf("got %v, expected %v", got, expected))
	default:
		passed++
		fmt.Println("ok", name)
	}
}

func fail(name, why string) {
	failed++
	fmt.Printf("FAILED %s: %s\n", name, strings.ReplaceAll(why, "\n", " "))
}

// Run runs the wanted phase and leaves with what became of it.
func Run(online, offline func()) {
	switch os.Getenv("PHASE") {
	case "online":
		online()
	case "offline":
		offline()
	default:
		fail("PHASE", "is online or offline")
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
}

// Credentials are the user and the password to show, if any.
func Credentials() (user, password string, any bool) {
	return strings.Cut(os.Getenv("BASIC"), ":")
}

// Throwaway names a topic that no other run uses.
func Throwaway(client string) string {
	return fmt.Sprintf("throwaway-%s-%x", client, time.Now().UnixNano())
}

// Record is the schema of the client's orders, with more fields if wanted.
func Record(client string, more string) string {
	return `{"type":"record","name":"Order","namespace":"outpost.test.` + client + `","fields":[` +
		`{"name":"id","type":"string"},{"name":"amount","type":"long"}` + more + `]}`
}

// Note is a field that old readers and writers get along with; BareNote is one that they do not.
const (
	Note     = `,{"name":"note","type":"string","default":""}`
	BareNote = `,{"name":"note","type":"string"}`
)

// Fields names the fields of a schema.
func Fields(schema string) ([]string, error) {
	var record struct{ Fields []struct{ Name string } }
	if err := json.Unmarshal([]byte(schema), &record); err != nil {
		return nil, err
	}
	names := []string{}
	for _, field := range record.Fields {
		names = append(names, field.Name)
	}
	return names, nil
}

// Known is what the online phase leaves behind for the offline phase.
type Known struct {
	ID    int    `json:"id"`
	Bytes []byte `json:"bytes"`
}

func file(client string) string {
	return filepath.Join(os.Getenv("STATE_DIR"), client+".json")
}

// Remember writes what the offline phase needs.
func Remember(client string, known Known) {
	text, err := json.Marshal(known)
	if err == nil {
		err = os.WriteFile(file(client), text, 0o600)
	}
	if err != nil {
		fail("state file", err.Error())
	}
}

// Remembered reads what the online phase wrote.
func Remembered(client string) (known Known) {
	text, err := os.ReadFile(file(client))
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	if err != nil {
		fail("state file", err.Error())
	}
	return known
}
