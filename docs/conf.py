"Sphinx's settings for the site that build.py makes"
project = author = 'fer_fastai'
copyright = 'fer_fastai contributors'
extensions = ['myst_nb']
nb_execution_mode = 'off'
nb_render_markdown_format = 'gfm' # a notebook's output may have tables
suppress_warnings = ['myst.header'] # the first heading of a notebook's section may be a function's

html_theme = 'furo'
html_title = 'fer_fastai'
html_static_path = ['static']
html_css_files = ['style.css']
html_copy_source = False
html_show_sphinx = False
pygments_style,pygments_dark_style = 'friendly','github-dark'

_repo = 'https://github.com/fer-fastai/fer_fastai'
_icon = '<svg stroke="currentColor" fill="currentColor" viewBox="0 0 16 16"><path d="M8 0C3.58 0 0 3.58 0 8c0 3.54 2.29 6.53 5.47 7.59.4.07.55-.17.55-.38 0-.19-.01-.82-.01-1.49-2.01.37-2.53-.49-2.69-.94-.09-.23-.48-.94-.82-1.13-.28-.15-.68-.52-.01-.53.63-.01 1.08.58 1.23.82.72 1.21 1.87.87 2.33.66.07-.52.28-.87.51-1.07-1.78-.2-3.64-.89-3.64-3.95 0-.87.31-1.59.82-2.15-.08-.2-.36-1.02.08-2.12 0 0 .67-.21 2.2.82.64-.18 1.32-.27 2-.27s1.36.09 2 .27c1.53-1.04 2.2-.82 2.2-.82.44 1.1.16 1.92.08 2.12.51.56.82 1.27.82 2.15 0 3.07-1.87 3.75-3.65 3.95.29.25.54.73.54 1.48 0 1.07-.01 1.93-.01 2.2 0 .21.15.46.55.38A8.01 8.01 0 0 0 16 8c0-4.42-3.58-8-8-8z"/></svg>'
html_theme_options = dict(
    light_css_variables={'color-brand-primary': '#b03a0e', 'color-brand-content': '#b03a0e', 'color-brand-visited': '#8a4a3a'},
    dark_css_variables={'color-brand-primary': '#ff9d73', 'color-brand-content': '#ff9d73', 'color-brand-visited': '#d9a893'},
    footer_icons=[dict(name='GitHub', url=_repo, html=_icon, **{'class': ''})])
