module actorgrid/interop

go 1.24

require github.com/lytics/grid/v3 v3.2.15
