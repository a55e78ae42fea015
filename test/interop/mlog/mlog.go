// Package mlog stands in for the logging library that the Go driver starts with and that not every module proxy has. Only what that driver
// calls is here; all that it logs while it works goes to klog directly.
package mlog

import (
	"context"
	"os"

	"k8s.io/klog/v2"
)

// LogFormat names how a line looks.
type LogFormat string

// The formats that the driver names.
const (
	FormatJSON LogFormat = "json"
	FormatText LogFormat = "text"
)

// Setup prepares logging and returns what ends it.
func Setup() func() { return klog.Flush }

// ValidateAndSetKlogLevelAndFormatGlobally leaves klog as its own flags have it.
func ValidateAndSetKlogLevelAndFormatGlobally(_ context.Context, _ klog.Level, _ LogFormat) error {
	return nil
}

// Error logs an error.
func Error(message string, err error, pairs ...interface{}) { klog.ErrorS(err, message, pairs...) }

// Fatal logs an error and ends the program.
func Fatal(err error, pairs ...interface{}) {
	klog.ErrorS(err, "fatal error", pairs...)
	klog.Flush()
	os.Exit(1)
}
