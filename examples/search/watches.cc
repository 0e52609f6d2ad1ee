// SPDX-License-Identifier: Apache-2.0
#include "watches.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "hit_message.h"
#include "words.h"

namespace search {

namespace {

constexpr size_t kMaxWords = 1000;
constexpr size_t kMaxUntold = 1000;
constexpr size_t kMaxUntoldChanges = 16;  // each has all words

// As the index knows it.
absl::StatusOr<std::string> OneWord(const std::string& text) {
  std::vector<std::string> words = DistinctWords(text);
  if (words.size() == 1) return std::move(words[0]);
  return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not one word: words have ", kMinWordBytes, " to ",
                                                 kMaxWordBytes, " letters or digits"));
}

}  // namespace

Watch::Watch(Watches& watches) : watches_(watches) {
  const std::lock_guard lock(watches_.mutex_);
  watches_.watches_.insert(this);
}

Watch::~Watch() {
  const std::lock_guard lock(watches_.mutex_);
  watches_.watches_.erase(this);
}

absl::Status Watch::Change(const v1::WatchRequest& request) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return nobody_listens_ || untold_changes_ < kMaxUntoldChanges; });
  if (nobody_listens_) return absl::CancelledError("nobody listens any more");
  std::set<std::string> words = words_;
  for (const std::string& removed : request.remove()) {
    const absl::StatusOr<std::string> word = OneWord(removed);
    if (!word.ok()) return word.status();
    words.erase(*word);
  }
  for (const std::string& added : request.add()) {
    absl::StatusOr<std::string> word = OneWord(added);
    if (!word.ok()) return word.status();
    words.insert(*std::move(word));
  }
  if (words.size() > kMaxWords) {
    return absl::ResourceExhaustedError(absl::StrCat("a watch has at most ", kMaxWords, " words"));
  }
  words_ = std::move(words);
  v1::Watched& watched = *untold_.emplace_back().mutable_watched();
  for (const std::string& word : words_) watched.add_words(word);
  ++untold_changes_;
  changed_.notify_all();
  return absl::OkStatus();
}

bool Watch::Next(v1::WatchReply& reply, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, std::move(stop), [this] { return !untold_.empty(); })) return false;
  reply = std::move(untold_.front());
  untold_.pop_front();
  if (reply.has_watched()) {
    --untold_changes_;
    changed_.notify_all();
  }
  return true;
}

void Watch::Tell(const std::stop_token& stop, absl::FunctionRef<bool(const v1::WatchReply&)> tell) {
  v1::WatchReply reply;
  while (Next(reply, stop)) {
    if (tell(reply)) continue;
    const std::lock_guard lock(mutex_);
    nobody_listens_ = true;
    changed_.notify_all();
    return;
  }
}

void Watch::Offer(const Index& index, const std::string& path) {
  const std::lock_guard lock(mutex_);
  for (const std::string& word : words_) {
    std::optional<Index::Hit> found = index.HitIn(path, word);
    if (!found.has_value()) continue;
    if (untold_.size() >= kMaxUntold) {
      ++missed_;
      continue;
    }
    v1::WatchHit& hit = *untold_.emplace_back().mutable_hit();
    hit.set_word(word);
    hit.set_missed(std::exchange(missed_, 0));
    FillHit(*std::move(found), *hit.mutable_hit());
  }
  changed_.notify_all();
}

void Watches::Offer(const Index& index, const std::string& path) {
  const std::lock_guard lock(mutex_);
  for (Watch* watch : watches_) watch->Offer(index, path);
}

}  // namespace search
