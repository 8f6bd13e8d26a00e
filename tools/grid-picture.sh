#!/usr/bin/env bash
# Draws the picture of a grid that README.md shows, from the text in `grid` below.
#
#   tools/grid-picture.sh           writes docs/images/grid.svg
#   tools/grid-picture.sh --check   fails if that file is not what this script draws
#
# Coordinates are in pixels, from the upper left corner.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

picture=docs/images/grid.svg
line=22

# Text is written as it is: it must not contain &, < or >.
text() { # class x y text
    printf '  <text class="%s" x="%s" y="%s">%s</text>\n' "$1" "$2" "$3" "$4"
}

box() { # class x y width height title line...
    local class=$1 x=$2 y=$3 width=$4 height=$5 below words
    printf '  <rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="8"/>\n' \
        "$class" "$x" "$y" "$width" "$height"
    text title $((x + 14)) $((y + 25)) "$6"
    below=$((y + 25))
    for words in "${@:7}"; do
        below=$((below + line))
        text plain $((x + 14)) "$below" "$words"
    done
}

arrow() { # class x1 y1 x2 y2
    printf '  <line class="%s" x1="%s" y1="%s" x2="%s" y2="%s" marker-end="url(#head)"/>\n' "$@"
}

draw() {
    cat <<'SVG'
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 520" role="img" aria-labelledby="about">
  <title id="about">A grid: two peers, their actors, the registry, a request, and a database</title>
  <style>
    text { font-family: "Helvetica Neue", Arial, sans-serif; font-size: 15px; fill: #1f2933; }
    .title { font-weight: bold; }
    .label { font-size: 14px; fill: #7b341e; }
    .page { fill: #ffffff; }
    .registry { fill: #e6fffa; stroke: #2c7a7b; stroke-width: 1.5; }
    .peer { fill: #f7fafc; stroke: #4a5568; stroke-width: 1.5; }
    .actor { fill: #ebf4ff; stroke: #2b6cb0; stroke-width: 1.5; }
    .outside { fill: #fffaf0; stroke: #b7791f; stroke-width: 1.5; }
    .call { stroke: #c05621; stroke-width: 2; }
    .lease { stroke: #2c7a7b; stroke-width: 1.5; stroke-dasharray: 6 4; }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"
        orient="auto"><path d="M 0 0 L 10 5 L 0 10 z" fill="#1f2933"/></marker>
  </defs>
  <rect class="page" width="900" height="520"/>
SVG
    grid
    printf '</svg>\n'
}

# The picture: who is there, and what passes between them.
grid() {
    box registry 300 14 300 126 'Registry (etcd)' \
        'leader: peer A, token 2a:11' \
        'front-1: peer A, token 2a:12' \
        'worker-7: peer B, token 2a:18' \
        'worker-8: peer B, token 2a:19'

    box peer 20 210 330 150 'Peer A'
    box actor 40 250 110 90 'leader' 'actor'
    box actor 200 250 130 90 'front-1' 'actor'

    box peer 550 210 330 150 'Peer B'
    box actor 570 250 140 90 'worker-7' 'actor, mailbox' '(bounded)'
    box actor 740 250 120 90 'worker-8' 'actor'

    box outside 500 440 300 66 'Database (outside the grid)' \
        'rejects tokens below 2a:18'

    arrow lease 90 210 298 100
    text label 44 150 'lease, renewed'
    arrow lease 810 210 602 100
    text label 740 150 'lease, renewed'

    arrow call 250 250 370 142
    text label 340 196 '1. who holds worker-7?'
    arrow call 330 300 568 300
    text label 362 285 '2. request: deadline,'
    text label 362 325 'expected token 2a:18'
    arrow call 640 340 640 438
    text label 652 400 '3. write with token 2a:18'
}

case ${1-} in
'')
    mkdir -p "$(dirname "$picture")"
    draw >"$picture"
    ;;
--check)
    if ! draw | cmp -s - "$picture"; then
        echo "$picture is not what tools/grid-picture.sh draws: run make picture" >&2
        exit 1
    fi
    ;;
*)
    echo "usage: $0 [--check]" >&2
    exit 2
    ;;
esac
