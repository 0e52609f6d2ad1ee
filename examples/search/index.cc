// SPDX-License-Identifier: Apache-2.0
#include "index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "words.h"

namespace search {

namespace {

constexpr size_t kMaxExcerptBytes = 160;

// Line numbers and offsets are 32 bits wide.
constexpr size_t kMaxFileBytes = std::numeric_limits<uint32_t>::max();

std::string Excerpt(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (line.size() <= kMaxExcerptBytes) return std::string(line);
  size_t end = kMaxExcerptBytes;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;  // not inside a UTF-8 character
  return absl::StrCat(line.substr(0, end), "...");
}

double Score(size_t lines_of_file, size_t files_with_word, size_t all_files) {
  const double frequency = 1 + std::log(static_cast<double>(lines_of_file));
  return frequency * std::log1p(static_cast<double>(all_files) / static_cast<double>(files_with_word));
}

}  // namespace

absl::string_view Index::File::Line(uint32_t line) const {
  const size_t start = line_starts[line - 1];
  const size_t end = line < line_starts.size() ? line_starts[line] : text.size();
  return absl::string_view(text).substr(start, end - start);
}

std::span<const Index::Posting> Index::Term::In(FileId file) const {
  const auto [first, last] = std::equal_range(postings.begin(), postings.end(), file, ByFile());
  return {first, last};
}

Index::File Index::SplitLines(absl::string_view path, absl::string_view text) {
  File file{.path = std::string(path), .text = std::string(text), .line_starts = {}};
  for (size_t start = 0; start < file.text.size();) {
    file.line_starts.push_back(static_cast<uint32_t>(start));
    const size_t newline = file.text.find('\n', start);
    start = newline == std::string::npos ? file.text.size() : newline + 1;
  }
  file.line_starts.shrink_to_fit();
  return file;
}

Index::LinesByWord Index::FindWords(const File& file) {
  LinesByWord lines_by_word;
  for (uint32_t line = 1; line <= file.line_starts.size(); ++line) {
    ForEachWord(file.Line(line), [&](absl::string_view word) {
      std::vector<uint32_t>& lines = lines_by_word[word];
      if (lines.empty() || lines.back() != line) lines.push_back(line);
    });
  }
  return lines_by_word;
}

bool Index::Holds(absl::string_view path, absl::string_view text) const {
  const std::shared_lock lock(mutex_);
  const auto id = ids_.find(path);
  return id != ids_.end() && files_.at(id->second).text == text;
}

absl::StatusOr<Index::Change> Index::Put(absl::string_view path, absl::string_view text) {
  if (path.empty()) return absl::InvalidArgumentError("a file needs a path");
  if (text.size() > kMaxFileBytes) return absl::ResourceExhaustedError(absl::StrCat(path, " is larger than 4 GiB"));
  if (Holds(path, text)) return Change::kNone;
  File file = SplitLines(path, text);
  const LinesByWord lines_by_word = FindWords(file);

  const std::lock_guard lock(mutex_);
  const auto old = ids_.find(path);
  const bool replaces = old != ids_.end();
  const size_t old_bytes = replaces ? files_.at(old->second).text.size() : 0;
  if (text_bytes_ - old_bytes + file.text.size() > max_text_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("no room in the index for ", path, ": ", file.text.size(),
                                                     " bytes, and ", text_bytes_, " of ", max_text_bytes_,
                                                     " are used"));
  }
  if (replaces) RemoveLocked(old->second);

  const FileId id = next_id_++;
  for (const auto& [word, lines] : lines_by_word) {
    Term& term = terms_[word];
    for (const uint32_t line : lines) term.postings.push_back({id, line});
    ++term.files;
  }
  text_bytes_ += file.text.size();
  lines_ += file.line_starts.size();
  ids_[path] = id;
  files_.emplace(id, std::move(file));
  return replaces ? Change::kReplaced : Change::kAdded;
}

bool Index::Remove(absl::string_view path) {
  const std::lock_guard lock(mutex_);
  const auto found = ids_.find(path);
  if (found == ids_.end()) return false;
  RemoveLocked(found->second);
  return true;
}

void Index::RemoveLocked(FileId id) {
  const auto found = files_.find(id);
  const File& file = found->second;
  for (const auto& [word, lines] : FindWords(file)) {
    const auto term = terms_.find(word);
    auto& postings = term->second.postings;
    const auto [first, last] = std::equal_range(postings.begin(), postings.end(), id, ByFile());
    postings.erase(first, last);
    if (--term->second.files == 0) terms_.erase(term);
  }
  text_bytes_ -= file.text.size();
  lines_ -= file.line_starts.size();
  ids_.erase(file.path);
  files_.erase(found);
}

std::vector<Index::Candidate> Index::FilesWithAll(const std::vector<const Term*>& terms) const {
  std::vector<Candidate> candidates;
  const std::vector<Posting>& rarest = terms[0]->postings;
  for (size_t next = 0; next < rarest.size();) {
    const std::span<const Posting> in_file = terms[0]->In(rarest[next].file);
    candidates.push_back({&files_.at(rarest[next].file), rarest[next].file, /*score=*/0});
    next += in_file.size();
  }
  const size_t all_files = files_.size();
  for (const Term* term : terms) {
    std::erase_if(candidates, [&](Candidate& candidate) {
      const size_t lines = term->In(candidate.id).size();
      if (lines > 0) candidate.score += Score(lines, term->files, all_files);
      return lines == 0;
    });
  }
  return candidates;
}

Index::Hit Index::MakeHit(const std::vector<const Term*>& terms, const Candidate& candidate) {
  std::map<uint32_t, size_t> words_on_line;
  for (const Term* term : terms) {
    for (const Posting posting : term->In(candidate.id)) ++words_on_line[posting.line];
  }
  const auto best = std::max_element(words_on_line.begin(), words_on_line.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return {.path = candidate.file->path,
          .line = best->first,
          .excerpt = Excerpt(candidate.file->Line(best->first)),
          .matching_lines = static_cast<uint32_t>(words_on_line.size()),
          .score = candidate.score};
}

absl::StatusOr<Index::Result> Index::Find(absl::string_view query, size_t max_hits) const {
  const std::vector<std::string> words = DistinctWords(query);
  if (words.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("no word to search for: words have ", kMinWordBytes, " to ", kMaxWordBytes, " letters or digits"));
  }
  const std::shared_lock lock(mutex_);
  std::vector<const Term*> terms;
  for (const std::string& word : words) {
    const auto term = terms_.find(word);
    if (term == terms_.end()) return Result{};
    terms.push_back(&term->second);
  }
  std::stable_sort(terms.begin(), terms.end(), [](const Term* a, const Term* b) { return a->files < b->files; });
  std::vector<Candidate> candidates = FilesWithAll(terms);
  Result result{.hits = {}, .matching_files = candidates.size()};
  const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(std::min(max_hits, candidates.size()));
  std::partial_sort(candidates.begin(), end, candidates.end(), [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.file->path < b.file->path;
  });
  for (auto candidate = candidates.begin(); candidate != end; ++candidate) {
    result.hits.push_back(MakeHit(terms, *candidate));
  }
  return result;
}

Index::Stats Index::GetStats() const {
  const std::shared_lock lock(mutex_);
  return {.files = files_.size(), .lines = lines_, .distinct_words = terms_.size(), .text_bytes = text_bytes_};
}

}  // namespace search
