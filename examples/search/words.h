// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace search {

// Words shorter than this say nothing, longer ones are data (hashes, encoded images); neither is indexed.
inline constexpr size_t kMinWordBytes = 2;
inline constexpr size_t kMaxWordBytes = 64;

// Calls `visit` with each word of `text` in order: runs of letters, digits, `_` and bytes beyond ASCII, with A-Z
// lowered. The view is valid during the call only.
void ForEachWord(absl::string_view text, absl::FunctionRef<void(absl::string_view)> visit);

// The different words of `text`, in the order of their first occurrence.
std::vector<std::string> DistinctWords(absl::string_view text);

}  // namespace search
