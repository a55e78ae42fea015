// docker_env - reads the file $1 as `docker run --env-file` does, with docker's own parser, and prints its entries, each with a NUL behind it.
package main

import (
	"fmt"
	"os"

	"github.com/docker/cli/pkg/kvfile"
)

func main() {
	entries, err := kvfile.Parse(os.Args[1], os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, entry := range entries {
		fmt.Print(entry, "\x00")
	}
}
