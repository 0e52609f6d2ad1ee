// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace search {

// An inverted index in memory: from each word to the lines that hold it. It keeps the texts as well, for excerpts.
//
// Thread-safe: searches run side by side, and a text is split into words before the index is locked for it.
class Index {
 public:
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

  explicit Index(size_t max_text_bytes) : max_text_bytes_(max_text_bytes) {}

  enum class Change { kAdded, kReplaced, kNone };

  // Adds a file, or replaces the one of this path. What it holds already costs no more than comparing the texts.
  // RESOURCE_EXHAUSTED, and nothing changed, if there is no room.
  absl::StatusOr<Change> Put(absl::string_view path, absl::string_view text);

  // False if there is no such file.
  bool Remove(absl::string_view path);

  // The files that hold every word of `query`, best first: the sum over the words of (1 + ln lines) * ln(1 + files /
  // files with the word), equal ones by path. The result depends on what is in the index, not on the order it came in.
  // INVALID_ARGUMENT if there is no word in `query`.
  absl::StatusOr<Result> Find(absl::string_view query, size_t max_hits) const;

  Stats GetStats() const;

 private:
  using FileId = uint32_t;

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

  struct Candidate {
    const File* file;
    FileId id;
    double score;
  };

  static File SplitLines(absl::string_view path, absl::string_view text);
  static LinesByWord FindWords(const File& file);
  static Hit MakeHit(const std::vector<const Term*>& terms, const Candidate& candidate);

  bool Holds(absl::string_view path, absl::string_view text) const;

  // Both under the lock.
  void RemoveLocked(FileId id);
  // `terms` begin with the rarest.
  std::vector<Candidate> FilesWithAll(const std::vector<const Term*>& terms) const;

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
