// SPDX-License-Identifier: Apache-2.0
#include "progress_bar.h"

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace search {

namespace {

constexpr size_t kBarWidth = 30;
constexpr size_t kNameWidth = 30;
constexpr absl::string_view kClearLine = "\r\x1b[K";

// The end of a path, which says most, without what a terminal would take for a command.
std::string Shown(absl::string_view path) {
  std::string name(path.size() <= kNameWidth ? path : path.substr(path.size() - kNameWidth));
  for (char& c : name) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return name;
}

double Mebibytes(uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

}  // namespace

ProgressBar::~ProgressBar() {
  if (terminal_ != nullptr) *terminal_ << kClearLine << std::flush;
}

void ProgressBar::Advance(uint64_t bytes, absl::string_view what) {
  done_ += bytes;
  if (terminal_ == nullptr || absl::Now() < next_drawing_) return;
  next_drawing_ = absl::Now() + absl::Milliseconds(50);
  const double share = total_ == 0 ? 1 : std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
  const auto filled = static_cast<size_t>(share * kBarWidth);
  *terminal_ << kClearLine << '[' << std::string(filled, '#') << std::string(kBarWidth - filled, '-')
             << absl::StrFormat("] %3.0f %%  %.1f MiB  ", share * 100, Mebibytes(done_)) << Shown(what) << std::flush;
}

}  // namespace search
