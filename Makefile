# Godwit. `make help` lists the targets. One Makefile, out of tree in build/.
# Knobs: CC=clang, SAN=address,undefined (or thread), V=1; ZSTD=0: an agent that
# cannot compress, and is a quarter smaller.

CC ?= gcc
SAN ?=
ZSTD ?= 1
PYTHON ?= /usr/bin/python3
PREFIX ?= /usr/local
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# A build with other knobs stands in a folder of its own.
ifeq ($(origin CC),default)
CC := gcc
endif
empty :=
comma := ,
NOZSTD := $(if $(filter 0,$(ZSTD)),-nozstd)
VARIANT := $(if $(filter-out gcc,$(CC)),-$(notdir $(CC)))$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(NOZSTD)
B ?= build$(VARIANT)

FOLDERS := base policy crypto fleet net erasure node object meta cluster client gateway cli edge-agent
VERSION := 0.1.0

CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wconversion -Wno-sign-conversion -Wvla -Werror
CPPFLAGS += -I. -I$(B) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DGODWIT_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=c11 $(WARN) $(CFLAGS) -fno-omit-frame-pointer -pthread \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
CPPFLAGS += $(if $(NOZSTD),-DGODWIT_EDGE_NO_ZSTD)
LDFLAGS += -pthread $(if $(SAN),-fsanitize=$(SAN))
LIBS_base := -lm
LIBS_crypto := -lssl -lcrypto -lisal
LIBS_erasure := -lisal
LIBS_object := -lzstd
LIBS_meta := -lsqlite3 -lraft
LIBS_client := -lssl -lcrypto -lexpat
LIBS_gateway := -lmicrohttpd -lgnutls -lexpat
LIBS_edge-agent := $(if $(NOZSTD),,-lzstd)
LIBS_crypto_mbed := -lmbedtls -lmbedx509 -lmbedcrypto

# Who may include whom: tests/layers.sh reads these lines. A unit test of a
# folder links only what its folder may use.
MAY_base :=
MAY_policy := base
MAY_crypto := base
MAY_fleet := base crypto policy
MAY_erasure := base
MAY_net := base crypto
MAY_node := base crypto net erasure
MAY_object := base crypto net erasure node
MAY_meta := base crypto net
MAY_cluster := base crypto net erasure node object meta
MAY_client := base crypto
MAY_gateway := base crypto fleet net erasure object meta cluster policy
MAY_cli := base crypto fleet net erasure node object meta cluster client gateway policy
MAY_edge-agent := base crypto fleet policy

# What a folder needs at link time: itself and, in turn, what those need.
LINK_base := base
LINK_policy := policy base
LINK_crypto := crypto base
LINK_fleet := fleet crypto policy base
LINK_erasure := erasure base
LINK_net := net crypto base
LINK_node := node net erasure crypto base
LINK_object := object node net erasure crypto base
LINK_meta := meta net crypto base
LINK_cluster := cluster meta object node net erasure crypto base
LINK_client := client crypto base
LINK_gateway := gateway fleet cluster meta object node net erasure crypto policy base
LINK_cli := cli gateway fleet client cluster meta object node net erasure crypto policy base
LINK_edge-agent := edge-agent fleet policy crypto_mbed base
link_archives = $(foreach f,$(LINK_$(1)),$(B)/lib$(f).a)
link_libs = $(foreach f,$(LINK_$(1)),$(LIBS_$(f)))

srcs = $(sort $(wildcard $(1)/*.c))
objs = $(patsubst %.c,$(B)/%.o,$(call srcs,$(1)))

.DEFAULT_GOAL := all
.PHONY: all
all: $(B)/godwit $(B)/godwit-edge ## build build/godwit, build/godwit-edge (default)

$(B)/godwit: $(B)/cli/main.o $(call link_archives,cli)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(call link_archives,cli) $(call link_libs,cli)

# The agent's own crypto is mbedtls: neither libcrypto nor any server code.
$(B)/godwit-edge: $(B)/edge-agent/main.o $(call link_archives,edge-agent)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $< $(call link_archives,edge-agent) $(call link_libs,edge-agent)

Q := $(if $(V),,@)

# The agent for devices: one static file for any kernel of its ARCH. glibc, as
# Debian has no mbedtls for musl; whatever is not called is not linked.
ARCH ?= $(subst amd64,x86_64,$(shell dpkg --print-architecture))
GNU_x86_64 := x86_64-linux-gnu
GNU_arm64 := aarch64-linux-gnu
GNU_armhf := arm-linux-gnueabihf
STATIC := build-static-$(ARCH)$(NOZSTD)
.PHONY: edge-static deps-cross
edge-static: ## static, stripped build-static-ARCH/godwit-edge (ARCH=x86_64|arm64|armhf; ZSTD=0: smaller)
	$(if $(GNU_$(ARCH)),,$(error ARCH=$(ARCH): must be x86_64, arm64 or armhf))
	$(Q)$(MAKE) --no-print-directory CC=$(GNU_$(ARCH))-gcc SAN= B=$(STATIC)/obj \
	    CFLAGS="-Os -ffunction-sections -fdata-sections" \
	    LDFLAGS="-pthread -static -Wl,--gc-sections" $(STATIC)/obj/godwit-edge
	$(Q)$(GNU_$(ARCH))-strip -o $(STATIC)/godwit-edge $(STATIC)/obj/godwit-edge
	@stat -c '%n: %s bytes' $(STATIC)/godwit-edge

deps-cross: ## install compilers and libraries of other ARCHs for edge-static
	$(Q)packaging/deps.sh cross

define folder_rules
$(B)/lib$(1).a: $(filter-out $(B)/$(1)/main.o,$(call objs,$(1)))
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

# The agent's crypto: what is portable in crypto/, over mbedtls instead of
# libcrypto. Only the agent links it, and the tests of the same files once more.
MBED := pki_token prim_hkdf hpke bech32 chunks seal_key seal_name seal age
MBED_LIBS := -lmbedcrypto
$(B)/libcrypto_mbed.a: $(call objs,crypto/mbed) $(MBED:%=$(B)/crypto/%.o)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Unit tests: tests/unit/test_<file>.c tests <file>.c and links what the folder
# of <file>.c may use. Helpers of tests stand in tests/lib.
UNIT := $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
MBED_UNIT := test_prim test_hpke test_seal_key test_seal_name test_seal test_age
UNIT_BIN := $(UNIT:%=$(B)/tests/unit/%) $(MBED_UNIT:%=$(B)/tests/unit/%_mbed)
TESTLIB_OBJ := $(call objs,tests/lib)
folder_of = $(firstword $(patsubst %/,%,$(dir $(wildcard $(FOLDERS:%=%/$(1).[ch])))) cli)

define unit_rules
$(B)/tests/unit/$(1): $(B)/tests/unit/$(1).o $(TESTLIB_OBJ) $(call link_archives,$(2))
	@echo "  LD    $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $(call link_libs,$(2)) -lcmocka -lcrypto
endef
$(foreach t,$(UNIT),$(eval $(call unit_rules,$(t),$(call folder_of,$(t:test_%=%)))))

$(MBED_UNIT:%=$(B)/tests/unit/%_mbed): $(B)/tests/unit/%_mbed: \
    $(B)/tests/unit/%.o $(B)/tests/lib/temp_dir.o $(B)/libcrypto_mbed.a $(B)/libbase.a
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(MBED_LIBS) $(LIBS_base) -lcmocka

.PHONY: unit e2e cluster sim test test-built
unit: $(UNIT_BIN) ## unit tests only
	$(Q)tests/run_unit.sh $(UNIT_BIN)

e2e: $(B)/godwit $(B)/godwit-edge ## end-to-end tests only
	$(Q)GODWIT=$(CURDIR)/$(B)/godwit tests/run_e2e.sh

cluster: $(B)/godwit ## tests of many servers, and of histories, only
	$(Q)GODWIT=$(CURDIR)/$(B)/godwit tests/run_pytest.sh cluster

# The simulator of the catalogue's log: real members on a network and disks that
# are not. `make test` runs new seeds for SIM_SECONDS.
SIM_SECONDS ?= 120
sim: $(B)/sim ## build the simulator, build/sim --help

$(B)/sim: $(call objs,tests/sim) $(call link_archives,meta)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(call link_libs,meta)

test: deps ## install what is missing, build, run all tests
	$(Q)$(MAKE) --no-print-directory test-built

test-built: all $(UNIT_BIN) $(B)/sim
	$(Q)GODWIT=$(CURDIR)/$(B)/godwit SIM=$(CURDIR)/$(B)/sim \
	    SIM_SECONDS=$(SIM_SECONDS) tests/run_all.sh $(UNIT_BIN)

# Fuzzers: tests/fuzz/fuzz_<name>.c with libFuzzer, FUZZ_SECONDS each.
FUZZ := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## run every fuzzer for FUZZ_SECONDS (60)
	$(Q)$(MAKE) --no-print-directory CC=clang SAN=address,undefined,fuzzer-no-link B=build-fuzz fuzz-built
	$(Q)tests/run_fuzz.sh build-fuzz $(FUZZ_SECONDS) $(FUZZ)

.PHONY: fuzz-built
fuzz-built: $(FUZZ:%=$(B)/tests/fuzz/%)
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(call link_archives,cli)
	@echo "  LD    $@"
	$(Q)$(CC) -pthread -fsanitize=address,undefined,fuzzer -o $@ $< $(call link_archives,cli) $(call link_libs,cli)

$(B)/tests/fuzz/fuzz_edge_%: $(B)/tests/fuzz/fuzz_edge_%.o $(call link_archives,edge-agent)
	@echo "  LD    $@"
	$(Q)$(CC) -pthread -fsanitize=address,undefined,fuzzer -o $@ $< $(call link_archives,edge-agent) $(call link_libs,edge-agent)

package-test: package ## install, upgrade and purge the package in a fresh Debian
	$(Q)tests/package.sh $(B)/godwit_$(VERSION)_$$(dpkg --print-architecture).deb \
	    $(B)/godwit-edge_$(VERSION)_$$(dpkg --print-architecture).deb

.PHONY: package package-test
.PHONY: deps run bench lint format layers cppcheck install clean help
deps: ## install missing packages (Debian 12; root or sudo)
	$(Q)packaging/deps.sh

run: deps ## build and start a whole store on 127.0.0.1:9000
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(B)/godwit server --data ./data

.PHONY: demo
demo: deps ## a cluster, a device, losses, retention and erasure: narrated, all real
	$(Q)$(MAKE) --no-print-directory all
	$(Q)GODWIT=$(CURDIR)/$(B)/godwit GODWIT_EDGE=$(CURDIR)/$(B)/godwit-edge \
	    /usr/bin/python3 tests/demo.py

# Programs of bench/run.sh: bench/bench_<name>.c.
BENCH_BIN := $(patsubst bench/%.c,$(B)/bench/%,$(sort $(wildcard bench/*.c))) \
             $(B)/bench/bench_seal_mbed
$(B)/bench/%: $(B)/bench/%.o $(call link_archives,cli)
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(call link_libs,cli)

$(B)/bench/edge/%: $(B)/bench/edge/%.o $(B)/libbase.a
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_base)

.PHONY: bench-edge
bench-edge: all edge-static $(B)/bench/edge/bench_edge ## measure the agent; writes bench/results/edge.md
	$(Q)STATIC=$(CURDIR)/$(STATIC)/godwit-edge bench/edge/run.py > $(B)/edge.md
	$(Q)mv $(B)/edge.md bench/results/edge.md

$(B)/bench/bench_seal_mbed: $(B)/bench/bench_seal.o $(B)/libcrypto_mbed.a $(B)/libbase.a
	@echo "  LD    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(MBED_LIBS) $(LIBS_base)

bench: deps all $(BENCH_BIN) ## measure the figures; writes bench/results/
	$(Q)GODWIT=$(CURDIR)/$(B)/godwit bench/run.sh

C_FILES := $(foreach f,$(FOLDERS) crypto/mbed tests/unit tests/fuzz tests/lib tests/sim bench bench/edge,$(wildcard $(f)/*.c $(f)/*.h))
lint: ## clang-format check, layers, cppcheck
	$(Q)clang-format --dry-run -Werror $(C_FILES)
	$(Q)tests/layers.sh
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability \
	    --inline-suppr --error-exitcode=1 --suppress=missingIncludeSystem \
	    --suppress=unknownMacro --suppress=varFuncNullUB -I. -D_GNU_SOURCE -DGODWIT_VERSION='""' -j2 $(FOLDERS)

format: ## reformat all C files
	$(Q)clang-format -i $(C_FILES)

install: all ## install to PREFIX (/usr/local)
	install -D -m 755 $(B)/godwit $(DESTDIR)$(PREFIX)/bin/godwit
	install -D -m 755 $(B)/godwit-edge $(DESTDIR)$(PREFIX)/bin/godwit-edge
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(B)/godwit man > $(DESTDIR)$(PREFIX)/share/man/man1/godwit.1
	$(B)/godwit-edge man > $(DESTDIR)$(PREFIX)/share/man/man1/godwit-edge.1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(B)/godwit completion > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/godwit

package: deps all ## .deb packages in build/, looked at by lintian
	$(Q)packaging/deps.sh package
	$(Q)packaging/deb/build.sh godwit $(VERSION) $(B)
	$(Q)packaging/deb/build.sh godwit-edge $(VERSION) $(B)

clean: ## remove everything built
	rm -rf build build-*

help: ## list the targets
	@echo "Godwit $(VERSION). Targets:"
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
	@echo "Knobs: CC=gcc|clang  SAN=address,undefined|thread  ZSTD=0  V=1"

-include $(shell find $(B) -name '*.d' 2>/dev/null)
