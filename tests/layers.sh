#!/bin/sh
# Who may include whom. usage: layers.sh
#
# Reads the MAY_<folder> lines of the Makefile and refuses every #include
# "folder/..." that they do not allow, every quoted include without a folder,
# and every third-party header outside its folders. A unit test counts as part
# of the folder whose file it tests; the simulator as part of meta; fuzzers and
# benchmarks as part of cli, or of edge-agent by their name.
# First it shows that it refuses: bad includes must each be found.
set -eu
cd "$(dirname "$0")/.."

# Lines "path<TAB>folder<TAB>include line" on stdin; one line for each defect
# on stdout.
judge() {
    awk -v makefile="${1:-Makefile}" '
    BEGIN {
        FS = "\t"
        while ((getline line < makefile) > 0) {
            if (line !~ /^MAY_[a-z-]+ *:=/) {
                continue
            }
            folder = line
            sub(/^MAY_/, "", folder)
            sub(/ *:=.*/, "", folder)
            sub(/^[^=]*= */, "", line)
            known[folder] = 1
            may[folder, folder] = 1
            n = split(line, names, " +")
            for (i = 1; i <= n; i++) {
                may[folder, names[i]] = 1
            }
        }
        # header pattern -> folders; tests may use cmocka and, as a second
        # opinion on digests, openssl; benchmarks measure isa-l bare
        house("^sqlite3\\.h$", "meta")
        house("^raft(\\.h$|/)", "meta")
        house("^microhttpd\\.h$", "gateway")
        house("^gnutls/", "gateway")
        house("^expat(_external)?\\.h$", "gateway client")
        house("^openssl/", "crypto client test")
        house("^isa-l(\\.h$|/)|^(erasure_code|crc|crc64|raid|igzip_lib|gf_vect_mul|mem_routines)\\.h$",
              "erasure crypto bench")
        house("^(mbedtls|psa)/", "crypto edge-agent")
        house("^zstd\\.h$", "object cli edge-agent")
        house("^cmocka\\.h$", "test")
        house("^uv\\.h$|^curl/|^dqlite", "")
    }
    function house(pattern, folders) {
        patterns[++rules] = pattern
        allowed[rules] = " " folders " "
    }
    {
        path = $1
        folder = $2
        include = $3
        test = path ~ /^tests\//
        bench = path ~ /^bench\//
        sub(/^[ \t]*#[ \t]*include[ \t]*/, "", include)
        quoted = include ~ /^"/
        sub(/^["<]/, "", include)
        sub(/[">].*/, "", include)
        for (i = 1; i <= rules; i++) {
            if (include ~ patterns[i] &&
                index(allowed[i], " " folder " ") == 0 &&
                !(test && index(allowed[i], " test ")) &&
                !(bench && index(allowed[i], " bench "))) {
                printf "%s: %s may stand only in:%s\n", path, include,
                    allowed[i]
                next
            }
        }
        if (!quoted) {
            next
        }
        if (include !~ /\//) {
            printf "%s: \"%s\": say \"folder/file.h\"\n", path, include
            next
        }
        target = include
        sub(/\/.*/, "", target)
        if (target == "tests" || target == "bench") {
            if (!test && !bench) {
                printf "%s: \"%s\": no test code in the product\n", path,
                    include
            }
        } else if (!(target in known)) {
            printf "%s: \"%s\": no such folder in the Makefile\n", path,
                include
        } else if (!((folder, target) in may)) {
            printf "%s: \"%s\": %s may not include %s\n", path, include,
                folder, target
        }
    }'
}

# Every include of the tree as lines for judge.
includes() {
    folders=$(sed -n 's/^FOLDERS *:= *//p' Makefile)
    for file in $(for f in $folders tests bench; do
        [ -d "$f" ] && find "$f" -name '*.[ch]'
    done); do
        folder=${file%%/*}
        case $file in
        tests/unit/test_*.c)
            base=${file##*/test_}
            folder=cli
            for f in $folders; do
                [ -f "$f/$base" ] && folder=$f && break
            done
            ;;
        tests/sim/*) folder=meta ;;
        tests/fuzz/fuzz_edge_*) folder=edge-agent ;;
        bench/edge/*) folder=edge-agent ;;
        tests/* | bench/*) folder=cli ;;
        esac
        sed -n "s|^\([[:space:]]*#[[:space:]]*include[[:space:]]*[\"<].*\)|$file	$folder	\1|p" "$file"
    done
}

# Self-test: each of these must be refused, the last ones allowed.
refuse() {
    [ -n "$(printf '%s\t%s\t#include %s\n' "$1" "$2" "$3" | judge)" ] || {
        echo "layers.sh: does not refuse $3 in $1" >&2
        exit 1
    }
}
allow() {
    [ -z "$(printf '%s\t%s\t#include %s\n' "$1" "$2" "$3" | judge)" ] || {
        echo "layers.sh: refuses $3 in $1" >&2
        exit 1
    }
}
refuse base/x.c base '"crypto/digest.h"'
refuse object/x.c object '"meta/meta.h"'
refuse meta/x.c meta '"object/object_put.h"'
refuse node/x.c node '"object/object_put.h"'
refuse gateway/x.c gateway '"client/http_client.h"'
refuse gateway/x.c gateway '"tests/lib/fake.h"'
refuse gateway/x.c gateway '"gateway.h"'
refuse gateway/x.c gateway '"nowhere/x.h"'
refuse gateway/x.c gateway '<sqlite3.h>'
refuse object/x.c object '<raft.h>'
refuse object/x.c object '<microhttpd.h>'
refuse meta/x.c meta '<expat.h>'
refuse gateway/x.c gateway '<openssl/evp.h>'
refuse node/x.c node '<isa-l.h>'
refuse node/x.c node '<isa-l/crc.h>'
refuse gateway/x.c gateway '<mbedtls/aes.h>'
refuse base/x.c base '<cmocka.h>'
refuse tests/unit/test_x.c object '"meta/meta.h"'
refuse tests/unit/test_x.c node '<sqlite3.h>'
refuse crypto/x.c crypto '<zstd.h>'
refuse client/x.c client '<mbedtls/gcm.h>'
refuse edge-agent/x.c edge-agent '"client/http_client.h"'
refuse edge-agent/x.c edge-agent '<openssl/evp.h>'
allow gateway/x.c gateway '"meta/meta.h"'
allow crypto/mbed/x.c crypto '<mbedtls/gcm.h>'
allow meta/x.c meta '<sqlite3.h>'
allow crypto/x.c crypto '<isa-l/crc.h>'
allow bench/x.c cli '<isa-l.h>'
allow tests/unit/test_x.c base '<cmocka.h>'
allow tests/unit/test_x.c base '"tests/lib/x.h"'
allow base/x.c base '<stdint.h>'
allow edge-agent/x.c edge-agent '"crypto/seal.h"'

defects=$(includes | judge)
if [ -n "$defects" ]; then
    echo "$defects"
    echo "layers.sh: refused"
    exit 1
fi
