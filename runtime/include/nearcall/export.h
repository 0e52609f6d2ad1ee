// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a shared libnearcall offers to those who link it. Everything else is compiled with hidden visibility: nobody can
// come to depend on it, and it cannot be interposed (gcc(1), -fvisibility).
#define NEARCALL_EXPORT __attribute__((visibility("default")))
