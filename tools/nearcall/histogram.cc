// SPDX-License-Identifier: Apache-2.0
#include "histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace nearcall::tools {

namespace {

// Values are counted in tenths of a nanosecond: round trips of a cache line take some hundred of them.
constexpr double kUnitsPerUs = 1e4;

// Buckets of each power of two.
constexpr int kStepBits = 6;
constexpr uint64_t kSteps = uint64_t{1} << kStepBits;

// Some hours; what is larger counts as this.
constexpr uint64_t kMaxValue = uint64_t{1} << 47;

size_t BucketOf(uint64_t value) {
  const int width = static_cast<int>(std::bit_width(value));
  const int shift = std::max(0, width - kStepBits - 1);
  return static_cast<size_t>(static_cast<uint64_t>(shift) * kSteps + (value >> shift));
}

// The middle of what falls into the bucket.
double ValueOf(size_t bucket) {
  const uint64_t shift = bucket < 2 * kSteps ? 0 : bucket / kSteps - 1;
  const uint64_t least = (bucket - shift * kSteps) << shift;
  return static_cast<double>(least) + (shift == 0 ? 0 : static_cast<double>(uint64_t{1} << (shift - 1)));
}

constexpr char kEmpty[] = "-";

}  // namespace

void Histogram::Add(double us) {
  const double units = std::clamp(us * kUnitsPerUs, 0.0, static_cast<double>(kMaxValue));
  AddTo(BucketOf(static_cast<uint64_t>(std::llround(units))), 1);
}

void Histogram::AddTo(size_t bucket, int64_t count) {
  if (counts_.empty()) counts_.resize(BucketOf(kMaxValue) + 1);
  counts_[bucket] += count;
  count_ += count;
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < other.counts_.size(); ++i) {
    if (other.counts_[i] != 0) AddTo(i, other.counts_[i]);
  }
}

double Histogram::Percentile(double share) const {
  if (count_ == 0) return 0;
  const int64_t rank = std::min(count_ - 1, static_cast<int64_t>(share * static_cast<double>(count_)));
  int64_t below = 0;
  size_t bucket = 0;
  while (below + counts_[bucket] <= rank) below += counts_[bucket++];
  return ValueOf(bucket) / kUnitsPerUs;
}

double Histogram::Mean() const {
  double sum = 0;
  for (size_t i = 0; i < counts_.size(); ++i) sum += ValueOf(i) * static_cast<double>(counts_[i]);
  return count_ == 0 ? 0 : sum / static_cast<double>(count_) / kUnitsPerUs;
}

std::string Histogram::ToString() const {
  std::string text;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != 0) absl::StrAppend(&text, text.empty() ? "" : ",", i, ":", counts_[i]);
  }
  return text.empty() ? kEmpty : text;
}

std::optional<Histogram> Histogram::FromString(const std::string& text) {
  Histogram histogram;
  if (text == kEmpty) return histogram;
  for (const absl::string_view pair : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(pair, absl::MaxSplits(':', 1));
    size_t bucket = 0;
    int64_t count = 0;
    if (!absl::SimpleAtoi(parts.first, &bucket) || !absl::SimpleAtoi(parts.second, &count)) return std::nullopt;
    if (bucket > BucketOf(kMaxValue) || count <= 0) return std::nullopt;
    histogram.AddTo(bucket, count);
  }
  return histogram;
}

}  // namespace nearcall::tools
