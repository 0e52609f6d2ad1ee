// SPDX-License-Identifier: Apache-2.0
#include "watch_command.h"

#include <memory>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "lines.h"
#include "words.h"

namespace search {

namespace {

using WatchStream = nearcall::ClientReaderWriter<v1::WatchRequest, v1::WatchReply>;

// "red green": to be watched too; "-red": no longer. Without a word: an empty request.
v1::WatchRequest ParseChange(absl::string_view line) {
  v1::WatchRequest change;
  const bool remove = absl::ConsumePrefix(&line, "-");
  for (std::string& word : DistinctWords(line)) {
    if (remove) {
      change.add_remove(std::move(word));
    } else {
      change.add_add(std::move(word));
    }
  }
  return change;
}

// Until the input ends, or the call. The watch goes on without input.
void SendChanges(WatchStream& watch, const WatchTerminal& terminal, const std::stop_token& stop) {
  Lines lines(terminal.changes_fd, stop);
  std::string line;
  while (lines.Next(&line)) {
    const v1::WatchRequest change = ParseChange(line);
    if (change.add().empty() && change.remove().empty()) {
      terminal.errors << "there is no word in '" << line << "': WORD adds one, -WORD removes it\n" << std::flush;
    } else if (!watch.Write(change)) {
      return;
    }
  }
}

void Print(const v1::WatchReply& reply, std::ostream& out) {
  if (reply.has_watched()) {
    out << "watching: " << absl::StrJoin(reply.watched().words(), " ") << std::endl;
    return;
  }
  const v1::WatchHit& found = reply.hit();
  if (found.missed() > 0) out << "(" << found.missed() << " hits were missed: they came too fast)\n";
  out << found.word() << ": " << found.hit().path() << ":" << found.hit().line() << ": " << found.hit().excerpt()
      << std::endl;
}

}  // namespace

absl::Status PrintWatch(const v1::Search::Stub& stub, const std::vector<std::string>& words, size_t max_hits,
                        const WatchTerminal& terminal, const nearcall::CallOptions& options) {
  const std::unique_ptr<WatchStream> watch = stub.Watch(options);
  v1::WatchRequest first;
  for (const std::string& word : words) first.add_add(word);
  if (!watch->Write(first)) return watch->Finish();

  // One thread writes, one reads: what is watched changes while hits come.
  std::jthread changing([&](const std::stop_token& stop) { SendChanges(*watch, terminal, stop); });
  v1::WatchReply reply;
  for (size_t hits = 0; (max_hits == 0 || hits < max_hits) && watch->Read(&reply);) {
    if (reply.has_hit()) ++hits;
    Print(reply, terminal.out);
  }
  changing.request_stop();
  changing.join();
  return watch->Finish();  // says that no more changes will come, too: that ends a watch that is well
}

}  // namespace search
