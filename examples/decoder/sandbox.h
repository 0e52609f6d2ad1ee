// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"

namespace decoder {

// Takes from this process, for good, all that a decoder does not need: it opens no file and no socket, starts no
// program and no process, and sends no other process a signal. Before it has other threads.
//
// By the system calls themselves, without libseccomp: the list is as long either way, and for Landlock Debian 12 has no
// library. A kernel without Landlock (before 5.13, or where it is switched off) is none the worse for it: seccomp(2)
// refuses the same, and Landlock stands behind it.
absl::Status EnterSandbox();

}  // namespace decoder
