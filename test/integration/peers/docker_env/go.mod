module docker_env

go 1.24.0

require github.com/docker/cli v29.9.3+incompatible
