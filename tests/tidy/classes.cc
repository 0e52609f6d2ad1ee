// SPDX-License-Identifier: Apache-2.0
#include "classes.h"

#include <regex>

#include "absl/strings/ascii.h"
#include "source_file.h"

namespace nearcall::tidy {

namespace {

// Until nothing of it is left: template arguments hold others.
std::string Without(std::string text, const std::regex& what) {
  for (std::string rest;; text = rest) {
    rest = std::regex_replace(text, what, "");
    if (rest == text) return text;
  }
}

// Attributes, annotations, the arguments of templates, and where it may be used from.
std::string Plain(const std::string& declaration) {
  static const std::regex attribute(R"(\[\[[^\]]*\]\]|alignas\([^)]*\))");
  static const std::regex annotation(R"((ABSL|NEARCALL)_[A-Z_]+(\([^()]*\))?)");
  static const std::regex arguments(R"(<[^<>]*>)");
  static const std::regex access(R"(^\s*(public|private|protected)\s*:)");
  std::string plain = std::regex_replace(declaration, attribute, "");
  plain = std::regex_replace(plain, annotation, "");
  return Without(Without(plain, access), arguments);
}

bool IsMethod(const std::string& declaration) {
  static const std::regex other(
      R"(^\s*(friend|using|typedef|static_assert|enum|class|struct|union|,)|=\s*delete\s*$|^[^(]*[^(r]=)");
  static const std::regex method(R"([A-Za-z0-9_=+\-*/<>!\]]\s*\()");
  const std::string plain = Plain(declaration);
  return !std::regex_search(plain, other) && std::regex_search(plain, method);
}

// The name of the class that such a head begins; else empty.
std::string ClassOf(const std::string& head) {
  static const std::regex begin(R"(^\s*(template\s*)?(class|struct)\s+([A-Za-z_][A-Za-z0-9_:]*)(\s+final)?\s*(:|$))");
  std::smatch match;
  const std::string plain = Plain(head);
  return std::regex_search(plain, match, begin) && plain.find('(') == std::string::npos ? match[3].str() : "";
}

// Reads one file.
class Reader {
 public:
  std::vector<Class> Read(const std::string& code) {
    for (const char c : code) {
      Take(c);
      if (c == '\n') ++line_;
    }
    return classes_;
  }

 private:
  static constexpr size_t kNone = ~size_t{0};

  bool in_class() const { return !open_.empty() && open_.back() != kNone; }

  void Take(char c) {
    if (c == '(') ++parentheses_;
    if (c == ')' && parentheses_ > 0) --parentheses_;
    // The braces of an argument are a part of the head.
    if (parentheses_ > 0 || (c != '{' && c != '}' && c != ';')) return TakeOfHead(c);
    if (c == '{') {
      Open();
    } else if (c == '}' && !open_.empty()) {
      open_.pop_back();
    } else if (c == ';') {
      Count();
    }
    head_.clear();
  }

  void TakeOfHead(char c) {
    if (head_.empty() && absl::ascii_isspace(static_cast<unsigned char>(c)) != 0) return;
    if (head_.empty()) head_line_ = line_;
    head_.push_back(c == '\n' ? ' ' : c);
  }

  void Open() {
    const std::string name = ClassOf(head_);
    if (!name.empty()) {
      open_.push_back(classes_.size());
      classes_.push_back({name, head_line_, 0});
    } else {
      Count();
      open_.push_back(kNone);
    }
  }

  void Count() {
    if (!in_class() || !IsMethod(head_)) return;
    // Of the class in which it stands, and of those in which that does.
    for (auto open = open_.rbegin(); open != open_.rend() && *open != kNone; ++open) ++classes_[*open].methods;
  }

  std::vector<Class> classes_;
  std::vector<size_t> open_;  // by index; kNone: no class
  std::string head_;
  size_t head_line_ = 1;
  size_t line_ = 1;
  size_t parentheses_ = 0;
};

}  // namespace

std::vector<Class> FindClasses(absl::string_view text) {
  return Reader().Read(WithoutDirectives(CodeOnly(text)));
}

}  // namespace nearcall::tidy
