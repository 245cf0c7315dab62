/// A Markdown table whose columns line up in plain text; numbers stand on the right.
struct MarkdownTable {
    /// One column: its title and on which side its cells stand.
    struct Column {
        let title: String
        let isNumber: Bool
    }

    /// The columns, left to right.
    let columns: [Column]
    /// Cells by row; a missing cell shows as a dash.
    private(set) var rows: [[String]] = []

    /// An empty table.
    init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row; nil cells show as a dash.
    mutating func append(_ cells: [String?]) { rows.append(cells.map { $0 ?? "–" }) }

    /// The table as text, with a newline at the end.
    var text: String {
        let widths = columns.indices.map { index in
            ([columns[index].title.count, 3] + rows.map { index < $0.count ? $0[index].count : 1 }).max() ?? 3
        }
        var lines = [line(columns.map(\.title), widths)]
        let rules = columns.indices.map { index in
            let dashes = String(repeating: "-", count: widths[index] - 1)
            return columns[index].isNumber ? dashes + ":" : dashes + "-"
        }
        lines.append(line(rules, widths))
        for row in rows { lines.append(line(row, widths)) }
        return lines.joined(separator: "\n") + "\n"
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        let padded = columns.indices.map { index in
            let cell = index < cells.count ? cells[index] : "–"
            let space = String(repeating: " ", count: max(widths[index] - cell.count, 0))
            return columns[index].isNumber ? space + cell : cell + space
        }
        return "| " + padded.joined(separator: " | ") + " |"
    }
}
