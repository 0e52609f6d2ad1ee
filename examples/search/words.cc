// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace search {

namespace {

bool IsWordByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return absl::ascii_isalnum(byte) || c == '_' || byte >= 0x80;
}

}  // namespace

void ForEachWord(absl::string_view text, absl::FunctionRef<void(absl::string_view)> visit) {
  std::string word;
  const auto end_word = [&] {
    if (word.size() >= kMinWordBytes && word.size() <= kMaxWordBytes) visit(word);
    word.clear();
  };
  for (const char c : text) {
    if (IsWordByte(c)) {
      word.push_back(absl::ascii_tolower(static_cast<unsigned char>(c)));
    } else {
      end_word();
    }
  }
  end_word();
}

std::vector<std::string> DistinctWords(absl::string_view text) {
  std::vector<std::string> words;
  ForEachWord(text, [&](absl::string_view word) {
    if (std::find(words.begin(), words.end(), word) == words.end()) words.emplace_back(word);
  });
  return words;
}

}  // namespace search
