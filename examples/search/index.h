// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace search {

// An inverted index in memory: from each word to the lines that hold it. It keeps the texts as well, for excerpts.
//
// Thread-safe: searches run side by side, and a text is split into words before the index is locked for it.
class Index {
  using FileId = uint32_t;

 public:
  using Texts = std::map<std::string, std::string>;  // by path

  struct Hit {
    std::string path;
    uint32_t line;  // from 1: the first of the lines that hold most of the words
    std::string excerpt;
    uint32_t matching_lines;
    double score;
  };

  struct Result {
    std::vector<Hit> hits;
    size_t matching_files = 0;  // also those beyond `max_hits`
  };

  struct Stats {
    size_t files;
    size_t lines;
    size_t distinct_words;
    size_t text_bytes;
  };

  // What PutAll did.
  struct Changes {
    std::vector<std::string> changed;  // the paths of the files that were added or replaced
    size_t replaced = 0;
    size_t unchanged = 0;
    size_t words = 0;  // of all these texts, a repeated one each time
    size_t bytes = 0;
  };

  // A search under way: see NextHit.
  struct Scan {
    std::vector<std::string> words;
    FileId next = 0;
  };

  explicit Index(size_t max_text_bytes) : max_text_bytes_(max_text_bytes) {}

  size_t max_text_bytes() const { return max_text_bytes_; }

  enum class Change { kAdded, kReplaced, kNone };

  // Adds a file, or replaces the one of this path. What it holds already costs no more than comparing the texts.
  // RESOURCE_EXHAUSTED, and nothing changed, if there is no room.
  absl::StatusOr<Change> Put(absl::string_view path, absl::string_view text);

  // The same for many files at once: others see all of them or none. Nothing has changed if there is an error.
  absl::StatusOr<Changes> PutAll(Texts texts);

  // False if there is no such file.
  bool Remove(absl::string_view path);

  // The files that hold every word of `query`, best first: the sum over the words of (1 + ln lines) * ln(1 + files /
  // files with the word), equal ones by path. The result depends on what is in the index, not on the order it came in.
  // INVALID_ARGUMENT if there is no word in `query`.
  absl::StatusOr<Result> Find(absl::string_view query, size_t max_hits) const;

  // Finds the same files one after the other, in the order in which they came into the index. It is locked for each hit
  // only, so that whoever takes his time with one holds up nobody; a file that is replaced meanwhile may come again.
  // INVALID_ARGUMENT as above.
  static absl::StatusOr<Scan> StartScan(absl::string_view query);
  // None: there are no more, or `go_on`, which is asked before each file is looked at, said no.
  std::optional<Hit> NextHit(Scan& scan, absl::FunctionRef<bool()> go_on) const;

  // Where a word stands in a file.
  std::optional<Hit> HitIn(absl::string_view path, const std::string& word) const;

  Stats GetStats() const;

 private:
  struct File {
    std::string path;
    std::string text;
    std::vector<uint32_t> line_starts;

    absl::string_view Line(uint32_t line) const;
  };

  struct Posting {
    FileId file;
    uint32_t line;
  };

  struct ByFile {
    bool operator()(Posting posting, FileId file) const { return posting.file < file; }
    bool operator()(FileId file, Posting posting) const { return file < posting.file; }
  };

  // Where a word stands. Postings are sorted by file, then line; one per line.
  struct Term {
    std::vector<Posting> postings;
    uint32_t files = 0;

    std::span<const Posting> In(FileId file) const;
  };

  using LinesByWord = absl::flat_hash_map<std::string, std::vector<uint32_t>>;

  struct Words {
    LinesByWord lines;
    size_t count = 0;  // a repeated one each time
  };
  struct NewFile {
    File file;
    Words words;
  };

  struct Candidate {
    const File* file;
    FileId id;
    double score;
  };

  static File SplitLines(std::string path, std::string text);
  static Words FindWords(const File& file);
  static Hit MakeHit(const std::vector<const Term*>& terms, const Candidate& candidate);

  bool Holds(absl::string_view path, absl::string_view text) const;

  // The rest under the lock.
  bool HoldsLocked(absl::string_view path, absl::string_view text) const;
  absl::Status HasRoomFor(const std::vector<NewFile>& files) const;
  void PutLocked(NewFile file, Changes& changes);
  void RemoveLocked(FileId id);
  // The rarest first; none if one of the words stands nowhere.
  std::vector<const Term*> TermsOf(const std::vector<std::string>& words) const;
  std::optional<Candidate> Match(const std::vector<const Term*>& terms, FileId id) const;

  const size_t max_text_bytes_;

  mutable std::shared_mutex mutex_;  // guards the rest
  absl::flat_hash_map<std::string, FileId> ids_;
  absl::flat_hash_map<FileId, File> files_;
  absl::flat_hash_map<std::string, Term> terms_;
  FileId next_id_ = 0;
  size_t text_bytes_ = 0;
  size_t lines_ = 0;
};

}  // namespace search
