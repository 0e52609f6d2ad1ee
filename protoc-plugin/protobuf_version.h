// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "google/protobuf/stubs/common.h"

// Which protobuf the plugin is built with, by what a release changed for it.

// 22 and newer: all keywords of C++20 are renamed; errors are views of strings.
#define NEARCALL_PROTOBUF_22 (GOOGLE_PROTOBUF_VERSION >= 4022000)

// 27 and newer: keywords in packages are renamed; there are editions.
#define NEARCALL_PROTOBUF_27 (GOOGLE_PROTOBUF_VERSION >= 5027000)
