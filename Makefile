.PHONY: build test clean

build:
	go build ./...

test:
	go vet ./...
	go test -race ./...

clean:
	rm -rf bin
