"""The rules that a palette cannot say: spacing, hairlines, focus rings. `$name` is filled in by `kinmark.desktop.theme.apply`."""

from __future__ import annotations

from string import Template

SHEET = Template("""
QToolTip { background: $base; color: $text; border: 1px solid $line; padding: 4px 6px; }
QMainWindow::separator { background: $line; width: 1px; height: 1px; }
QMainWindow::separator:hover { background: $accent; }
QToolBar { background: $window; border: none; border-bottom: 1px solid $line; padding: 3px 6px; spacing: 2px; }
QToolBar::separator { background: $line; width: 1px; margin: 5px 5px; }
QToolButton { border: 1px solid transparent; border-radius: 5px; padding: 4px; background: transparent; }
QToolButton:hover { background: $wash; }
QToolButton:checked { background: $wash; border-color: $accent; }
QToolButton:focus { border-color: $accent; }
QToolButton[popupMode="1"] { padding-right: 16px; }
QToolButton::menu-button { border: none; width: 16px; }
QToolButton::menu-arrow { image: url($arrow); width: 11px; height: 11px; }
QToolButton[popupMode="2"] { padding-right: 18px; }
QToolButton::menu-indicator { image: url($arrow); width: 11px; height: 11px; subcontrol-position: right center;
    subcontrol-origin: padding; right: 4px; }
QToolButton#qt_toolbar_ext_button { padding: 0px; min-width: 18px; }
QStatusBar { border-top: 1px solid $line; background: $window; }
QStatusBar::item { border: none; }
QMenuBar { background: $window; }
QDockWidget { titlebar-close-icon: none; titlebar-normal-icon: none; font-size: ${small}px; }
QDockWidget::title { background: $window; padding: 6px 8px; text-align: left; border-bottom: 1px solid $line; }
QFrame#card { background: $base; border: 1px solid $line; border-radius: 8px; }
QFrame#guide { background: $chosen; border: none; border-bottom: 1px solid $line; }
QFrame#card:hover, QFrame#card:focus { border-color: $accent; }
QLabel#dim { color: $dim; }
QLabel#warning { color: $warning; }
QLabel#caption { color: $dim; font-size: ${small}px; font-weight: 600; }
QLabel#title { font-size: ${title}px; font-weight: 600; }
QLabel#heading { font-size: ${heading}px; font-weight: 600; }
QListView, QTreeView, QTableView { background: $base; border: 1px solid transparent; outline: none;
    alternate-background-color: $alternate; }
QListView:focus, QTreeView:focus, QTableView:focus { border-color: $accent; }
QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox, QPlainTextEdit { background: $base; border: 1px solid $line;
    border-radius: 5px; padding: 3px 6px; min-height: ${field}px; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit:focus { border-color: $accent; }
QComboBox { padding-right: 18px; }
QComboBox { combobox-popup: 0; }
QComboBox QAbstractItemView { selection-background-color: $accent; selection-color: white; padding: 2px; }
QComboBox QAbstractItemView::item { min-height: ${row}px; padding: 0px 6px; }
QComboBox QAbstractItemView::item:selected { background: $accent; color: white; }
QAbstractSpinBox QLineEdit { border: none; background: transparent; padding: 0px 5px; min-height: 0px; }
QSpinBox, QDoubleSpinBox { padding: 3px 18px 3px 4px; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: url($arrow); width: 12px; height: 12px; }
QSpinBox::up-button, QDoubleSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::down-button { border: none;
    width: 16px; background: transparent; }
QSpinBox::up-arrow, QDoubleSpinBox::up-arrow { image: url($up); width: 9px; height: 9px; }
QSpinBox::down-arrow, QDoubleSpinBox::down-arrow { image: url($arrow); width: 9px; height: 9px; }
QCheckBox::indicator { width: 15px; height: 15px; border: 1px solid $dim; border-radius: 4px; background: $base; }
QCheckBox::indicator:checked { background: $accent; border-color: $accent; image: url($tick); }
QCheckBox::indicator:focus { border-color: $accent; }
QPushButton { background: $base; border: 1px solid $line; border-radius: 5px; padding: 5px 14px;
    min-height: ${button}px; }
QPushButton:hover { border-color: $accent; }
QPushButton:focus { border-color: $accent; outline: none; }
QPushButton:pressed { background: $wash; }
QPushButton:disabled { color: $dim; }
QPushButton:default, QPushButton#primary { background: $accent; color: white; border-color: $accent; }
QPushButton#primary:disabled, QPushButton:default:disabled { background: $window; color: $dim; border-color: $line; }
QProgressBar { border: none; border-radius: 3px; background: $line; max-height: 6px; min-height: 6px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
QHeaderView::section { background: $window; border: none; border-bottom: 1px solid $line; padding: 5px 6px; }
QScrollArea { border: none; background: transparent; }
QTabBar { qproperty-drawBase: 0; }
QTabBar::tab { padding: 5px 10px; border: none; border-bottom: 2px solid transparent; background: transparent; color: $dim; }
QTabBar::tab:hover { background: $wash; color: $text; }
QTabBar::tab:selected { color: $text; border-bottom-color: $accent; }
QTabBar::tab:focus { background: $wash; }
QTableView { gridline-color: $line; selection-background-color: $chosen; selection-color: $text; }
QListWidget { selection-background-color: $chosen; selection-color: $text; }
QTableView::item { padding: 0px 6px; }
QListWidget::item { padding: 3px 4px; }
QListWidget::item:selected, QTableView::item:selected { background: $chosen; color: $text; }
QScrollBar:vertical { background: transparent; width: 11px; margin: 0px; }
QScrollBar:horizontal { background: transparent; height: 11px; margin: 0px; }
QScrollBar::handle { background: $grip; border-radius: 3px; margin: 1px 2px; }
QScrollBar::handle:vertical { min-height: 28px; }
QScrollBar::handle:horizontal { min-width: 28px; margin: 2px 1px; }
QScrollBar::handle:hover, QScrollBar::handle:pressed { background: $dim; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0px; height: 0px; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
""")
