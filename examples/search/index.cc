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

constexpr size_t kMaxPathBytes = 4096;

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

absl::StatusOr<std::vector<std::string>> WordsOf(absl::string_view query) {
  std::vector<std::string> words = DistinctWords(query);
  if (!words.empty()) return words;
  return absl::InvalidArgumentError(
      absl::StrCat("no word to search for: words have ", kMinWordBytes, " to ", kMaxWordBytes, " letters or digits"));
}

// The first of the postings after `posting` that is of another file.
template <typename Iterator>
Iterator FirstAfter(Iterator posting, Iterator end) {
  const auto file = posting->file;
  return std::find_if(posting, end, [file](const auto& other) { return other.file != file; });
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

Index::File Index::SplitLines(std::string path, std::string text) {
  File file{.path = std::move(path), .text = std::move(text), .line_starts = {}};
  for (size_t start = 0; start < file.text.size();) {
    file.line_starts.push_back(static_cast<uint32_t>(start));
    const size_t newline = file.text.find('\n', start);
    start = newline == std::string::npos ? file.text.size() : newline + 1;
  }
  file.line_starts.shrink_to_fit();
  return file;
}

Index::Words Index::FindWords(const File& file) {
  Words words;
  for (uint32_t line = 1; line <= file.line_starts.size(); ++line) {
    ForEachWord(file.Line(line), [&](absl::string_view word) {
      ++words.count;
      std::vector<uint32_t>& lines = words.lines[word];
      if (lines.empty() || lines.back() != line) lines.push_back(line);
    });
  }
  return words;
}

bool Index::HoldsLocked(absl::string_view path, absl::string_view text) const {
  const auto id = ids_.find(path);
  return id != ids_.end() && files_.at(id->second).text == text;
}

bool Index::Holds(absl::string_view path, absl::string_view text) const {
  const std::shared_lock lock(mutex_);
  return HoldsLocked(path, text);
}

absl::StatusOr<Index::Change> Index::Put(absl::string_view path, absl::string_view text) {
  if (Holds(path, text)) return Change::kNone;
  const absl::StatusOr<Changes> changes = PutAll({{std::string(path), std::string(text)}});
  if (!changes.ok()) return changes.status();
  if (changes->unchanged > 0) return Change::kNone;  // somebody else was quicker
  return changes->replaced > 0 ? Change::kReplaced : Change::kAdded;
}

absl::StatusOr<Index::Changes> Index::PutAll(Texts texts) {
  std::vector<NewFile> files;
  while (!texts.empty()) {
    auto text = texts.extract(texts.begin());
    if (text.key().empty()) return absl::InvalidArgumentError("a file needs a path");
    if (text.key().size() > kMaxPathBytes) {
      return absl::InvalidArgumentError(absl::StrCat("a path has at most ", kMaxPathBytes, " bytes"));
    }
    if (text.mapped().size() > kMaxFileBytes) {
      return absl::ResourceExhaustedError(absl::StrCat(text.key(), " is larger than 4 GiB"));
    }
    NewFile& file = files.emplace_back();
    file.file = SplitLines(std::move(text.key()), std::move(text.mapped()));
    file.words = FindWords(file.file);
  }

  const std::lock_guard lock(mutex_);
  if (absl::Status room = HasRoomFor(files); !room.ok()) return room;
  Changes changes;
  for (NewFile& file : files) PutLocked(std::move(file), changes);
  return changes;
}

absl::Status Index::HasRoomFor(const std::vector<NewFile>& files) const {
  size_t bytes = 0;
  size_t freed = 0;
  for (const NewFile& added : files) {
    bytes += added.file.text.size();
    if (const auto old = ids_.find(added.file.path); old != ids_.end()) freed += files_.at(old->second).text.size();
  }
  if (text_bytes_ - freed + bytes <= max_text_bytes_) return absl::OkStatus();
  const std::string what = files.size() == 1 ? files[0].file.path : absl::StrCat(files.size(), " files");
  return absl::ResourceExhaustedError(absl::StrCat("no room in the index for ", what, ": ", bytes, " bytes, and ",
                                                   text_bytes_, " of ", max_text_bytes_, " are used"));
}

void Index::PutLocked(NewFile added, Changes& changes) {
  File file = std::move(added.file);
  changes.words += added.words.count;
  changes.bytes += file.text.size();
  if (HoldsLocked(file.path, file.text)) {
    ++changes.unchanged;
    return;
  }
  if (const auto old = ids_.find(file.path); old != ids_.end()) {
    ++changes.replaced;
    RemoveLocked(old->second);
  }
  const FileId id = next_id_++;
  for (const auto& [word, lines] : added.words.lines) {
    Term& term = terms_[word];
    for (const uint32_t line : lines) term.postings.push_back({id, line});
    ++term.files;
  }
  text_bytes_ += file.text.size();
  lines_ += file.line_starts.size();
  changes.changed.push_back(file.path);
  ids_[file.path] = id;
  files_.emplace(id, std::move(file));
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
  for (const auto& [word, lines] : FindWords(file).lines) {
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

std::vector<const Index::Term*> Index::TermsOf(const std::vector<std::string>& words) const {
  std::vector<const Term*> terms;
  for (const std::string& word : words) {
    const auto term = terms_.find(word);
    if (term == terms_.end()) return {};
    terms.push_back(&term->second);
  }
  std::stable_sort(terms.begin(), terms.end(), [](const Term* a, const Term* b) { return a->files < b->files; });
  return terms;
}

std::optional<Index::Candidate> Index::Match(const std::vector<const Term*>& terms, FileId id) const {
  double score = 0;
  for (const Term* term : terms) {
    const size_t lines = term->In(id).size();
    if (lines == 0) return std::nullopt;
    score += Score(lines, term->files, files_.size());
  }
  return Candidate{.file = &files_.at(id), .id = id, .score = score};
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
  const absl::StatusOr<std::vector<std::string>> words = WordsOf(query);
  if (!words.ok()) return words.status();
  const std::shared_lock lock(mutex_);
  const std::vector<const Term*> terms = TermsOf(*words);
  if (terms.empty()) return Result{};
  std::vector<Candidate> candidates;
  const std::vector<Posting>& rarest = terms[0]->postings;
  for (auto next = rarest.begin(); next != rarest.end(); next = FirstAfter(next, rarest.end())) {
    if (const std::optional<Candidate> match = Match(terms, next->file)) candidates.push_back(*match);
  }
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

absl::StatusOr<Index::Scan> Index::StartScan(absl::string_view query) {
  absl::StatusOr<std::vector<std::string>> words = WordsOf(query);
  if (!words.ok()) return words.status();
  return Scan{.words = *std::move(words)};
}

std::optional<Index::Hit> Index::NextHit(Scan& scan, absl::FunctionRef<bool()> go_on) const {
  const std::shared_lock lock(mutex_);
  const std::vector<const Term*> terms = TermsOf(scan.words);
  if (terms.empty()) return std::nullopt;
  const std::vector<Posting>& rarest = terms[0]->postings;
  for (auto next = std::lower_bound(rarest.begin(), rarest.end(), scan.next, ByFile()); next != rarest.end() && go_on();
       next = FirstAfter(next, rarest.end())) {
    scan.next = next->file + 1;
    if (const std::optional<Candidate> match = Match(terms, next->file)) return MakeHit(terms, *match);
  }
  return std::nullopt;
}

std::optional<Index::Hit> Index::HitIn(absl::string_view path, const std::string& word) const {
  const std::shared_lock lock(mutex_);
  const auto id = ids_.find(path);
  const std::vector<const Term*> terms = TermsOf({word});
  if (id == ids_.end() || terms.empty()) return std::nullopt;
  const std::optional<Candidate> match = Match(terms, id->second);
  if (!match.has_value()) return std::nullopt;
  return MakeHit(terms, *match);
}

Index::Stats Index::GetStats() const {
  const std::shared_lock lock(mutex_);
  return {.files = files_.size(), .lines = lines_, .distinct_words = terms_.size(), .text_bytes = text_bytes_};
}

}  // namespace search
