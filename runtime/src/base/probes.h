// SPDX-License-Identifier: Apache-2.0
#pragma once

// Places at which a tracer (bpftrace, perf, SystemTap) can look into a running program: user statically defined
// tracepoints, of the provider `nearcall`. Each is one instruction that does nothing, until somebody looks. Where the
// system has no <sys/sdt.h> (Debian: systemtap-sdt-dev) there are none.
//
// Their names and arguments are an interface: docs/watching.md has them.
#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define NEARCALL_HAS_PROBES 1
#endif
#endif

// Arguments are numbers and pointers that are there already: they are evaluated always.
#ifdef NEARCALL_HAS_PROBES
#define NEARCALL_PROBE2(name, a, b) STAP_PROBE2(nearcall, name, a, b)
#define NEARCALL_PROBE3(name, a, b, c) STAP_PROBE3(nearcall, name, a, b, c)
#define NEARCALL_PROBE4(name, a, b, c, d) STAP_PROBE4(nearcall, name, a, b, c, d)
#else
#define NEARCALL_PROBE2(name, a, b) static_cast<void>(0)
#define NEARCALL_PROBE3(name, a, b, c) static_cast<void>(0)
#define NEARCALL_PROBE4(name, a, b, c, d) static_cast<void>(0)
#endif
