<?xml version='1.0' encoding='utf-8'?>
<TS version="2.1" language="de">
<context>
    <name />
    <message>
        <source>Look</source>
        <translation>Aussehen</translation>
    </message>
    <message>
        <source>as the system</source>
        <translation>wie das System</translation>
    </message>
    <message>
        <source>light</source>
        <translation>hell</translation>
    </message>
    <message>
        <source>dark</source>
        <translation>dunkel</translation>
    </message>
    <message>
        <source>Theme</source>
        <translation>Farbschema</translation>
    </message>
    <message>
        <source>Language (after a restart)</source>
        <translation>Sprache (nach einem Neustart)</translation>
    </message>
    <message>
        <source>Font size</source>
        <translation>Schriftgröße</translation>
    </message>
    <message>
        <source>Size of keypoints on screen</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Labelling</source>
        <translation>Beschriften</translation>
    </message>
    <message>
        <source>Keep the zoom between photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Write the names of the selected instance</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>After the last keypoint go to the next photo of the queue</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Show the source exemplar</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Reviewing</source>
        <translation>Prüfen</translation>
    </message>
    <message>
        <source>Sure: expected precision at least (accept all)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Doubt: confidence below</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>most uncertain first</source>
        <translation>unsicherste zuerst</translation>
    </message>
    <message>
        <source>most useful for the next proposals first</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>where the exemplars disagree first</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>sides maybe swapped first</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>surest first</source>
        <translation>sicherste zuerst</translation>
    </message>
    <message>
        <source>by name</source>
        <translation>nach Name</translation>
    </message>
    <message>
        <source>Review queue</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Accepting improves what is pending on the next photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>... on how many photos ahead</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Engine (from the next start)</source>
        <translation>Rechenwerk (ab dem nächsten Start)</translation>
    </message>
    <message>
        <source>automatic</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Device</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Number format</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Processor threads (0 = all but one)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Feature cache at most (GB)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Photos</source>
        <translation>Fotos</translation>
    </message>
    <message>
        <source>Instance</source>
        <translation>Instanz</translation>
    </message>
    <message>
        <source>Evidence</source>
        <translation>Begründung</translation>
    </message>
    <message>
        <source>Queue</source>
        <translation>Warteschlange</translation>
    </message>
    <message>
        <source>Propose</source>
        <translation>Vorschlagen</translation>
    </message>
    <message>
        <source>Find</source>
        <translation>Finden</translation>
    </message>
    <message>
        <source>Tune</source>
        <translation>Abstimmen</translation>
    </message>
    <message>
        <source>Export</source>
        <translation>Exportieren</translation>
    </message>
    <message>
        <source>Search   conf:&lt;0.5  kp:nose  tag:x</source>
        <translation>Suche   conf:&lt;0.5  kp:nose  tag:x</translation>
    </message>
    <message>
        <source>Search photos</source>
        <translation>Fotos suchen</translation>
    </message>
</context>
<context>
    <name>AboutDialog</name>
    <message>
        <source>About Kinmark</source>
        <translation>Über Kinmark</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Mark once, find its kin everywhere.</source>
        <translation>Einmal markieren, alle Verwandten finden.</translation>
    </message>
    <message>
        <source>Apache-2.0. Everything runs on this computer; nothing is uploaded, and nothing is downloaded unless you ask for it. Uses Qt for Python (LGPL-3.0), PyTorch, Diffusers, SQLAlchemy and others under their own licences.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>BeforeAfterGallery</name>
    <message>
        <source>Before and after</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>before</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>after</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>BulkAcceptDialog</name>
    <message>
        <source>Accept all sure proposals</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Threshold in percent</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Threshold</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>The least sure of them:</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} keypoints will be accepted, about {p:.0%} of them right.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No proposal reaches this threshold.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Calibrated on {n} of your decisions. The rest stays pending; one Undo takes it back.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Uncalibrated: {n} more decisions will fit it to your own. The rest stays pending; one Undo takes it back.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Accept {n} keypoints</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} keypoints accepted.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Ctrl+Z takes all of them back.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>CanvasView</name>
    <message>
        <source>Photo canvas</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>Commands</name>
    <message>
        <source>Open a project (a folder that ends in .kinmark)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Add a folder of photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} photos added.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} have the same bytes as another photo. </source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} files left out, for example: {first}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Adding photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Undone: {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Done again: {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Undo</source>
        <translation>Rückgängig</translation>
    </message>
    <message>
        <source>Redo</source>
        <translation>Wiederholen</translation>
    </message>
    <message>
        <source>Tag</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Tag for {n} photos (the same tag again takes it off):</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Nothing in this photo reaches the threshold of {t:.0%}.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Enter accepts one by one; the threshold is in the settings.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Label one photo: press K and follow the names, then Ctrl+P.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Exemplars exist for: {names}.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>There is no exemplar of this category yet.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} photos could not be read, for example {name}.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Nothing new to propose.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} instances proposed.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>N goes to the one that needs you most.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No label looks wrong.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} labels look wrong, on {m} photos.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>N goes through them, worst first. Drag a keypoint to correct it.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{name}: {found} suggestions in {n} photos.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Confirm or deny them on the identity page.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>CrashDialog</name>
    <message>
        <source>Something unexpected happened</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Kinmark hit a fault of its own. Everything you accepted is saved.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>The report is in {file}. Nothing is sent anywhere.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
    <message>
        <source>Go on working</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>DoctorDialog</name>
    <message>
        <source>Doctor</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Looking; this loads the default model ...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Diagnostics</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Copy</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>{n} problems found.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Everything works.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>EngineJobs</name>
    <message>
        <source>Proposing {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Proposing</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Proposing on this photo</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Improving the next photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Finding {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Sharpening the list</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Checking labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Heat map</source>
        <translation>Wärmekarte</translation>
    </message>
    <message>
        <source>Cutting out</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Trying harder on {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Looking at the device</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>EvidencePanel</name>
    <message>
        <source>Alt+{n}: accept the keypoint at this peak</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Sides swapped?  M exchanges them</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No keypoint focused</source>
        <translation>Kein Keypoint im Fokus</translation>
    </message>
    <message>
        <source>Looks wrong: {reason}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Focus a proposal to see what speaks for it.</source>
        <translation>Einen Vorschlag wählen, um zu sehen, was für ihn spricht.</translation>
    </message>
    <message>
        <source>Placed by hand.</source>
        <translation>Von Hand gesetzt.</translation>
    </message>
    <message>
        <source>Imported.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Accepted from a proposal.</source>
        <translation>Aus einem Vorschlag angenommen.</translation>
    </message>
    <message>
        <source>Confidence is uncalibrated: {n} more decisions fit it to your own.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Confidence is calibrated on {n} of your decisions.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Confidence</source>
        <translation>Sicherheit</translation>
    </message>
    <message>
        <source>Similarity at the peak</source>
        <translation>Ähnlichkeit am Gipfel</translation>
    </message>
    <message>
        <source>Lead over the next peak</source>
        <translation>Vorsprung vor dem nächsten Gipfel</translation>
    </message>
    <message>
        <source>Agreement of exemplars</source>
        <translation>Einigkeit der Muster</translation>
    </message>
    <message>
        <source>Way back misses by</source>
        <translation>Rückweg verfehlt um</translation>
    </message>
</context>
<context>
    <name>ExportDialog</name>
    <message>
        <source>Export</source>
        <translation>Exportieren</translation>
    </message>
    <message>
        <source>all categories</source>
        <translation>alle Kategorien</translation>
    </message>
    <message>
        <source>Pending proposals too, marked as such</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Only photos with labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Report</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Choose...</source>
        <translation>Wählen...</translation>
    </message>
    <message>
        <source>Format</source>
        <translation>Format</translation>
    </message>
    <message>
        <source>Folder</source>
        <translation>Ordner</translation>
    </message>
    <message>
        <source>Category</source>
        <translation>Kategorie</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>What is lost or changed in this format</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Export into this folder</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Looking...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Export preview</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Nothing is lost.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Exporting...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Exporting</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Done.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Exported: {summary}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Not exported.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>FilterList</name>
    <message>
        <source>Filters</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>More filters</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>all</source>
        <translation>alle</translation>
    </message>
    <message>
        <source>unseen</source>
        <translation>ungesehen</translation>
    </message>
    <message>
        <source>pending</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>doubt</source>
        <translation>zweifelhaft</translation>
    </message>
    <message>
        <source>nothing here</source>
        <translation>nichts zu sehen</translation>
    </message>
    <message>
        <source>done</source>
        <translation>fertig</translation>
    </message>
    <message>
        <source>file missing</source>
        <translation>Datei fehlt</translation>
    </message>
    <message>
        <source>any tag, identity, keypoint</source>
        <translation>jedes Schlagwort, Individuum, jeder Keypoint</translation>
    </message>
    <message>
        <source>tag: {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>identity: {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>missing: {name}</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>FindDialog</name>
    <message>
        <source>Find this instance</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Who or what is it? For example Pip</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Find</source>
        <translation>Finden</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Identity</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Search in</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>It becomes the first confirmed one. Suggestions come to the identity page as they are found.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Draw a box around it on a photo first (R), or select an accepted instance.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>all photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>the photos of the list ({n})</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>tag: {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>folder: {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Give it a name first.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>IdentityPage</name>
    <message>
        <source>Identity</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Confirmed</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Suggested</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Find...</source>
        <translation>Finden...</translation>
    </message>
    <message>
        <source>Search again</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Open stacks of near-duplicates (S)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Open stacks</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>More</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Rename...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Merge into...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Split the selected ones off...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Forget this identity (instances stay)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Confirm (Enter)</source>
        <translation>Bestätigen (Enter)</translation>
    </message>
    <message>
        <source>Deny (Delete)</source>
        <translation>Verneinen (Entf)</translation>
    </message>
    <message>
        <source>No identity yet.

Box one thing on a photo (R), then press Ctrl+Shift+F to find it on the others.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>CONFIRMED  {n}</source>
        <translation>BESTÄTIGT  {n}</translation>
    </message>
    <message>
        <source>SUGGESTED  {n}, most alike first</source>
        <translation>VORGESCHLAGEN  {n}, ähnlichste zuerst</translation>
    </message>
    <message>
        <source>  Likeness is uncalibrated yet.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Enter confirms, Delete denies (several at once with Shift or Ctrl), double click opens the canvas.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Rename</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Name of the identity</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Merge</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{name} is the same as</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Split</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Name of the other one ({n} selected)</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>ImageDelegate</name>
    <message>
        <source>file missing</source>
        <translation>Datei fehlt</translation>
    </message>
    <message>
        <source>file changed</source>
        <translation>Datei geändert</translation>
    </message>
    <message>
        <source>{n} pending</source>
        <translation>{n} offen</translation>
    </message>
    <message>
        <source>{n} labelled</source>
        <translation>{n} beschriftet</translation>
    </message>
    <message>
        <source>nothing here</source>
        <translation>nichts zu sehen</translation>
    </message>
</context>
<context>
    <name>ImageModel</name>
    <message>
        <source>unseen</source>
        <translation>ungesehen</translation>
    </message>
    <message>
        <source>pending</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>done</source>
        <translation>fertig</translation>
    </message>
    <message>
        <source>nothing here</source>
        <translation>nichts zu sehen</translation>
    </message>
    <message>
        <source>{n} pending</source>
        <translation>{n} offen</translation>
    </message>
    <message>
        <source>file missing</source>
        <translation>Datei fehlt</translation>
    </message>
    <message>
        <source>file changed</source>
        <translation>Datei geändert</translation>
    </message>
</context>
<context>
    <name>ImagePanel</name>
    <message>
        <source>No photo fits this filter.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Photos</source>
        <translation>Fotos</translation>
    </message>
    <message>
        <source>List</source>
        <translation>Liste</translation>
    </message>
    <message>
        <source>Grid</source>
        <translation>Raster</translation>
    </message>
    <message>
        <source>{n} photos</source>
        <translation>{n} Fotos</translation>
    </message>
</context>
<context>
    <name>ImportDialog</name>
    <message>
        <source>Import labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>The label file or folder</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Found by itself when left empty</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>as accepted labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>as proposals to review</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Where both differ, take the file's</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Leave damaged items out instead of refusing the file</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>refuse when photo sizes contradict</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>labels were drawn on the unrotated photo: rotate them</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>labels fit the upright photo: keep them</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Report</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Format</source>
        <translation>Format</translation>
    </message>
    <message>
        <source>Labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Photos in</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Bring in</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Rotated photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Preview</source>
        <translation>Vorschau</translation>
    </message>
    <message>
        <source>Import</source>
        <translation>Importieren</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Choose...</source>
        <translation>Wählen...</translation>
    </message>
    <message>
        <source>Folder with the labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Label file</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Folder of the photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Reading...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Importing</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Instances: {added} added, {changed} changed, {kept} kept, {skipped} left out.
Photos: {new} new, {known} known. New categories: {categories}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>This would happen:</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Done (one Undo takes it back):</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Not imported.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>InstancePanel</name>
    <message>
        <source>Instance</source>
        <translation>Instanz</translation>
    </message>
    <message>
        <source>Category of new instances</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Identity, if known</source>
        <translation>Individuum, falls bekannt</translation>
    </message>
    <message>
        <source>Identity</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Keypoints</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>New instance (I)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>New instance</source>
        <translation>Neue Instanz</translation>
    </message>
    <message>
        <source>No category yet.

Press Ctrl+K to choose a template (animal, person, hand ...) or to name keypoints.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>This category has no keypoints.

Press Ctrl+K to add some, or draw boxes (R) and masks (B).</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{done} of {all} done, {pending} pending</source>
        <translation>{done} von {all} fertig, {pending} offen</translation>
    </message>
    <message>
        <source>new instance</source>
        <translation>neue Instanz</translation>
    </message>
    <message>
        <source>no instance</source>
        <translation>keine Instanz</translation>
    </message>
</context>
<context>
    <name>JobBar</name>
    <message>
        <source>Pause</source>
        <translation>Pause</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>paused</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{done} of {total}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source> each</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{time} left</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} waiting</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>KeypointModel</name>
    <message>
        <source>placed</source>
        <translation>gesetzt</translation>
    </message>
    <message>
        <source>accepted</source>
        <translation>angenommen</translation>
    </message>
    <message>
        <source>pending</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>doubt</source>
        <translation>zweifelhaft</translation>
    </message>
    <message>
        <source>absent</source>
        <translation>fehlt</translation>
    </message>
    <message>
        <source>hidden?</source>
        <translation>verdeckt?</translation>
    </message>
    <message>
        <source>hidden</source>
        <translation>verdeckt</translation>
    </message>
</context>
<context>
    <name>KeysDialog</name>
    <message>
        <source>Keys</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Focus the n-th keypoint</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Take another peak</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Mouse</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Change...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
</context>
<context>
    <name>Labelling</name>
    <message>
        <source>Choose a photo on the left.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Make a category with keypoints first: Ctrl+K.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Enter accepts the mask, X rejects it.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Enter goes to the next proposal, N to the next photo of the queue.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Press K and follow the names, R to draw a box, O if nothing is here.</source>
        <translation>K drücken und den Namen folgen, R zieht einen Rahmen, O: nichts zu sehen.</translation>
    </message>
    <message>
        <source>Nothing waits here. Enter or N goes to the next photo of the queue.</source>
        <translation>Hier wartet nichts. Enter oder N geht zum nächsten Foto der Liste.</translation>
    </message>
    <message>
        <source>All keypoints are placed. D goes to the next photo, I starts another instance.</source>
        <translation>Alle Keypoints sind gesetzt. D geht zum nächsten Foto, I beginnt eine weitere Instanz.</translation>
    </message>
    <message>
        <source>Click {name}. Right click: hidden. 0: not in the photo. Backspace: one back.</source>
        <translation>{name} anklicken. Rechtsklick: verdeckt. 0: nicht im Foto. Rücktaste: einen zurück.</translation>
    </message>
    <message>
        <source>Enter accepts {name} and goes to {next}. X rejects, drag corrects, Alt+2 takes peak 2.</source>
        <translation>Enter nimmt {name} an und geht zu {next}. X lehnt ab, Ziehen berichtigt, Alt+2 nimmt Gipfel 2.</translation>
    </message>
    <message>
        <source>Enter accepts {name}, the last one here. X rejects, drag corrects.</source>
        <translation>Enter nimmt {name} an, den letzten hier. X lehnt ab, Ziehen berichtigt.</translation>
    </message>
</context>
<context>
    <name>LegendDialog</name>
    <message>
        <source>Legend</source>
        <translation>Legende</translation>
    </message>
    <message>
        <source>placed by hand</source>
        <translation>von Hand gesetzt</translation>
    </message>
    <message>
        <source>accepted proposal</source>
        <translation>angenommener Vorschlag</translation>
    </message>
    <message>
        <source>pending proposal</source>
        <translation>offener Vorschlag</translation>
    </message>
    <message>
        <source>doubtful proposal</source>
        <translation>zweifelhafter Vorschlag</translation>
    </message>
    <message>
        <source>hidden: known, but covered</source>
        <translation>verdeckt: bekannt, aber verborgen</translation>
    </message>
    <message>
        <source>absent: not in the photo (listed, not drawn)</source>
        <translation>fehlt: nicht im Foto (in der Liste, nicht gezeichnet)</translation>
    </message>
    <message>
        <source>photo nobody looked at</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>photo with proposals</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>photo with a doubtful proposal</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>looked at, nothing here</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>labelled</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>file missing</source>
        <translation>Datei fehlt</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
</context>
<context>
    <name>MainWindow</name>
    <message>
        <source>(read-only)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Not understood: {words}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>saved   {done} done, {pending} pending</source>
        <translation>gespeichert   {done} fertig, {pending} offen</translation>
    </message>
</context>
<context>
    <name>MessageBar</name>
    <message>
        <source>Copy details</source>
        <translation>Einzelheiten kopieren</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Nochmals versuchen</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Close message</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>ModelCard</name>
    <message>
        <source>installed</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>not installed</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>used by this project</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Download...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Use in this project</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Verify</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Self-test</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Remove</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
</context>
<context>
    <name>ModelsDialog</name>
    <message>
        <source>Models</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Use a folder...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Nothing is downloaded unless you ask for it. Weights are safetensors only.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>A folder in the diffusers layout</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} files, {m} compared: all right.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Checking...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{device} {dtype}: {s:.2f} s per photo</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Testing...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Self-test of {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Asking for size and licence...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Download</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{name}: {size} from {place}. Licence: {licence}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Accept the licence and download</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Download again to continue.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>NewProjectDialog</name>
    <message>
        <source>New project</source>
        <translation>Neues Projekt</translation>
    </message>
    <message>
        <source>Drop a folder here, or choose one (may be added later)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Photos</source>
        <translation>Fotos</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>Save in</source>
        <translation>Speichern in</translation>
    </message>
    <message>
        <source>Category</source>
        <translation>Kategorie</translation>
    </message>
    <message>
        <source>Create project</source>
        <translation>Projekt anlegen</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Keypoints of the category (all of it can be changed later)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Choose...</source>
        <translation>Wählen...</translation>
    </message>
    <message>
        <source>Folder of photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Where the project is kept</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>My photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Give the project a name.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>That folder of photos is not there.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>The place to save in is not there.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>A project of that name is there already.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>PartGridPage</name>
    <message>
        <source>Keypoint</source>
        <translation>Keypoint</translation>
    </message>
    <message>
        <source>pending, least sure first</source>
        <translation>offen, unsicherste zuerst</translation>
    </message>
    <message>
        <source>accepted</source>
        <translation>angenommen</translation>
    </message>
    <message>
        <source>What to show</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Size of the crops</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Crops</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Enter accepts, X rejects (several at once with Shift or Ctrl), Alt+click corrects, double click opens.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} crops</source>
        <translation>{n} Ausschnitte</translation>
    </message>
    <message>
        <source>No proposal of this keypoint waits. Ctrl+P proposes.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>This keypoint is not accepted anywhere yet.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>Plot</name>
    <message>
        <source>Nothing to show yet</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>ProjectCard</name>
    <message>
        <source>cannot be opened</source>
        <translation>lässt sich nicht öffnen</translation>
    </message>
    <message>
        <source>{n} photos, {done} done</source>
        <translation>{n} Fotos, {done} fertig</translation>
    </message>
    <message>
        <source>Open</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>It lies elsewhere now...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Take off this list</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>QueuePanel</name>
    <message>
        <source>Order of the review queue</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>most uncertain first</source>
        <translation>unsicherste zuerst</translation>
    </message>
    <message>
        <source>most useful for the next proposals first</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>where the exemplars disagree first</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>sides maybe swapped first</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>surest first</source>
        <translation>sicherste zuerst</translation>
    </message>
    <message>
        <source>by name</source>
        <translation>nach Name</translation>
    </message>
    <message>
        <source>suspicious labels first</source>
        <translation>verdächtige zuerst</translation>
    </message>
    <message>
        <source>Review queue</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Nothing waits for review.</source>
        <translation>Nichts wartet auf Prüfung.</translation>
    </message>
</context>
<context>
    <name>RelinkDialog</name>
    <message>
        <source>Re-link moved photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Check all files</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Search a folder for missing photos...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Folders that the photos were added from</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>not there</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>It is here now...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Where do these photos lie now?</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Search here for the missing photos</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Looking at the files...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Re-linking</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} photos found, {m} still missing.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{m} photos missing, {n} changed.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>SchemaDialog</name>
    <message>
        <source>Categories and keypoints</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Category</source>
        <translation>Kategorie</translation>
    </message>
    <message>
        <source>Keypoints</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>New keypoint, for example left_ear</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Other side</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Save</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>New category</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Rename the category</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Remove the category with its labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Move up</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Move down</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Colour</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Retire: ask for it no more, keep its labels</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Suggest pairs</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Click two keypoints to join them; the same again parts them.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Retired: {names} (add the name again to bring it back)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Rename</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Name of the category</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Remove the category</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Remove {name} with {n} labelled instances? One Undo brings them back.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>That name is empty or taken.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>none (in the middle)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} pairs found.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Saved.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>SettingsDialog</name>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
    <message>
        <source>Search settings</source>
        <translation>Einstellungen suchen</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>Shortcuts...</source>
        <translation>Tasten...</translation>
    </message>
    <message>
        <source>Changes apply at once.</source>
        <translation>Änderungen gelten sofort.</translation>
    </message>
</context>
<context>
    <name>ShortcutModel</name>
    <message>
        <source>Menu</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Action</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Keys</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>The same key starts another action too.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>ShortcutsDialog</name>
    <message>
        <source>Shortcuts</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Preset</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Search actions</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>New key</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Use this key</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Add it</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No key</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Reset</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>{key} starts more than one action: {names}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No clash.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>SkeletonEditor</name>
    <message>
        <source>Skeleton</source>
        <translation>Skelett</translation>
    </message>
</context>
<context>
    <name>SourceView</name>
    <message>
        <source>Source exemplar</source>
        <translation>Musterfoto</translation>
    </message>
    <message>
        <source>Previous exemplar</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Next exemplar (E)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>SOURCE</source>
        <translation>MUSTER</translation>
    </message>
    <message>
        <source>No exemplar yet.

Label one photo: press K, follow the names.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} of {all}</source>
        <translation>{n} von {all}</translation>
    </message>
</context>
<context>
    <name>StartPage</name>
    <message>
        <source>Mark once, find its kin everywhere.</source>
        <translation>Einmal markieren, alle Verwandten finden.</translation>
    </message>
    <message>
        <source>New project</source>
        <translation>Neues Projekt</translation>
    </message>
    <message>
        <source>Open...</source>
        <translation>Öffnen...</translation>
    </message>
    <message>
        <source>Try the sample project</source>
        <translation>Beispielprojekt ausprobieren</translation>
    </message>
    <message>
        <source>Drop a folder of photos here to start a project with it. The photos stay where they are.</source>
        <translation>Einen Ordner mit Fotos hierher ziehen, um ein Projekt zu beginnen. Die Fotos bleiben, wo sie sind.</translation>
    </message>
    <message>
        <source>RECENT</source>
        <translation>ZULETZT</translation>
    </message>
    <message>
        <source>Where does the project lie now?</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>StatisticsPage</name>
    <message>
        <source>Category</source>
        <translation>Kategorie</translation>
    </message>
    <message>
        <source>Photos</source>
        <translation>Fotos</translation>
    </message>
    <message>
        <source>Decisions and labels per day</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Proposals right, per keypoint</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Calibration</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>all categories</source>
        <translation>alle Kategorien</translation>
    </message>
    <message>
        <source>{done} of {all} photos done, {instances} instances, {keypoints} keypoints</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{a:.2f} actions per accepted keypoint (by hand: 1)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} decisions, {p:.0%} accepted</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No proposal was decided yet.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>unseen</source>
        <translation>ungesehen</translation>
    </message>
    <message>
        <source>pending</source>
        <translation>offen</translation>
    </message>
    <message>
        <source>nothing here</source>
        <translation>nichts zu sehen</translation>
    </message>
    <message>
        <source>done</source>
        <translation>fertig</translation>
    </message>
    <message>
        <source>Decide about some proposals first.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>perfect</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>yours</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>confidence said</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Thirty decisions make this plot.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>TargetView</name>
    <message>
        <source>Zoom: fit or 100 %</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Zoom</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>No photo here.

Add photos with Ctrl+Shift+O or drop a folder on the window.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>The file {name} was replaced by another picture.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Its labels may not fit any more. Check them, or restore the file.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>fit</source>
        <translation>eingepasst</translation>
    </message>
</context>
<context>
    <name>TuneDialog</name>
    <message>
        <source>Tune the prompt</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>one prompt for the category</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>one prompt for everything</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>a prompt made for each photo (conditional)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>hidden states (experimental)</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>by the number of pairs</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Loss and held-out PCK@0.1</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Tune</source>
        <translation>Abstimmen</translation>
    </message>
    <message>
        <source>Stop</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Discard</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Keep and propose again</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Category</source>
        <translation>Kategorie</translation>
    </message>
    <message>
        <source>Kind</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Steps</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>{n} accepted instances, {p} pairs in both directions.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>{n} accepted instances; tuning needs at least {m}.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Tuning...</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Tuning {name}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>loss / {top:.3g}</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>held-out PCK</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>step</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Held-out PCK@0.1: {a:.0%} before, {b:.0%} after</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Better: keep it.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Not better: discard it.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>95 % interval after: {low:.0%} to {high:.0%}; {steps} steps, {s:.0f} s. </source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Before and after</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Stopped. Tuning again continues from here.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Proposing {name} again</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Discarding</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Discarded.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>Workspace</name>
    <message>
        <source>Every photo has been seen.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>This is the last photo with proposals.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Nothing waits for review.</source>
        <translation>Nichts wartet auf Prüfung.</translation>
    </message>
    <message>
        <source>Label another photo or press Ctrl+P to propose.</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Name an instance</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Select an instance with a box or keypoints first (R draws a box).</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Focus a keypoint first.</source>
        <translation type="unfinished" />
    </message>
</context>
<context>
    <name>window</name>
    <message>
        <source>Tools</source>
        <translation type="unfinished" />
    </message>
    <message>
        <source>Project</source>
        <translation>Projekt</translation>
    </message>
</context>
<context><name>Actions</name><message><source>Project</source><translation>Projekt</translation></message><message><source>Edit</source><translation>Bearbeiten</translation></message><message><source>View</source><translation>Ansicht</translation></message><message><source>Go</source><translation>Gehe zu</translation></message><message><source>Tool</source><translation>Werkzeug</translation></message><message><source>Keypoint</source><translation>Keypoint</translation></message><message><source>Review</source><translation>Prüfen</translation></message><message><source>Propose</source><translation>Vorschlagen</translation></message><message><source>Window</source><translation>Fenster</translation></message><message><source>Help</source><translation>Hilfe</translation></message><message><source>New project...</source><translation>Neues Projekt...</translation></message><message><source>Start a project from a folder of photos.</source><translation type="unfinished" /></message><message><source>Open project...</source><translation>Projekt öffnen...</translation></message><message><source>Open an existing .kinmark project folder.</source><translation type="unfinished" /></message><message><source>Add photos...</source><translation>Fotos hinzufügen...</translation></message><message><source>Add a folder of photos; the files stay where they are.</source><translation type="unfinished" /></message><message><source>Re-link moved photos...</source><translation>Verschobene Fotos neu verknüpfen...</translation></message><message><source>Tell where a moved folder of photos lies now.</source><translation type="unfinished" /></message><message><source>Import labels...</source><translation>Beschriftungen importieren...</translation></message><message><source>Read COCO, SPair, labelme and other label files into the project.</source><translation type="unfinished" /></message><message><source>Export...</source><translation>Exportieren...</translation></message><message><source>Write the accepted labels as COCO, SPair and others, with a report.</source><translation type="unfinished" /></message><message><source>Close project</source><translation>Projekt schließen</translation></message><message><source>Back to the start page. Everything is saved already.</source><translation type="unfinished" /></message><message><source>Quit</source><translation>Beenden</translation></message><message><source>Leave Kinmark. Everything is saved already.</source><translation type="unfinished" /></message><message><source>Undo</source><translation>Rückgängig</translation></message><message><source>Take back the last change, also after a restart.</source><translation type="unfinished" /></message><message><source>Redo</source><translation>Wiederholen</translation></message><message><source>Do again what was undone.</source><translation type="unfinished" /></message><message><source>Delete</source><translation>Löschen</translation></message><message><source>Remove the focused keypoint, or the selected instance when none is focused.</source><translation type="unfinished" /></message><message><source>Copy instance</source><translation>Instanz kopieren</translation></message><message><source>Copy the selected instance.</source><translation type="unfinished" /></message><message><source>Paste instance</source><translation>Instanz einfügen</translation></message><message><source>Paste the copied instance into this photo.</source><translation type="unfinished" /></message><message><source>Copy from the previous photo</source><translation>Vom vorigen Foto kopieren</translation></message><message><source>Copy the instances of the photo shown before, once.</source><translation type="unfinished" /></message><message><source>Categories and keypoints...</source><translation>Kategorien und Keypoints...</translation></message><message><source>Names, skeleton and left/right pairs; also after labels exist.</source><translation type="unfinished" /></message><message><source>Tag photo...</source><translation>Foto verschlagworten...</translation></message><message><source>Add or remove a tag of this photo.</source><translation type="unfinished" /></message><message><source>Settings...</source><translation>Einstellungen...</translation></message><message><source>Look, behaviour, engine; applied at once.</source><translation type="unfinished" /></message><message><source>Fit photo</source><translation>Foto einpassen</translation></message><message><source>Show the whole photo.</source><translation type="unfinished" /></message><message><source>Zoom to instance</source><translation>Auf Instanz zoomen</translation></message><message><source>Fill the canvas with the selected instance.</source><translation type="unfinished" /></message><message><source>100 %</source><translation type="unfinished" /></message><message><source>One screen pixel per photo pixel.</source><translation type="unfinished" /></message><message><source>Zoom in</source><translation>Vergrößern</translation></message><message><source>Larger.</source><translation type="unfinished" /></message><message><source>Zoom out</source><translation>Verkleinern</translation></message><message><source>Smaller.</source><translation type="unfinished" /></message><message><source>Peek below the overlays</source><translation>Unter die Markierungen sehen</translation></message><message><source>Hold: hide all overlays. Tap: switch them off and on.</source><translation type="unfinished" /></message><message><source>Loupe</source><translation>Lupe</translation></message><message><source>A magnified circle beside the cursor.</source><translation type="unfinished" /></message><message><source>Keypoint names</source><translation>Namen der Keypoints</translation></message><message><source>Write the names of the selected instance.</source><translation type="unfinished" /></message><message><source>Skeleton</source><translation>Skelett</translation></message><message><source>Show the skeleton.</source><translation type="unfinished" /></message><message><source>Masks</source><translation>Masken</translation></message><message><source>Show masks.</source><translation type="unfinished" /></message><message><source>Boxes</source><translation>Rahmen</translation></message><message><source>Show boxes.</source><translation type="unfinished" /></message><message><source>Heat map</source><translation>Wärmekarte</translation></message><message><source>Show where else the focused keypoint could be.</source><translation type="unfinished" /></message><message><source>Source exemplar</source><translation>Musterfoto</translation></message><message><source>Show a labelled exemplar beside the photo.</source><translation type="unfinished" /></message><message><source>Link both views</source><translation>Beide Ansichten koppeln</translation></message><message><source>Zoom and pan source and target together.</source><translation type="unfinished" /></message><message><source>Hide panels</source><translation>Seitenleisten ausblenden</translation></message><message><source>All panels away, and back where they were.</source><translation type="unfinished" /></message><message><source>Next panel</source><translation>Nächste Leiste</translation></message><message><source>Move the keyboard to the next panel.</source><translation type="unfinished" /></message><message><source>Full screen</source><translation>Vollbild</translation></message><message><source>Use the whole screen.</source><translation type="unfinished" /></message><message><source>Next photo</source><translation>Nächstes Foto</translation></message><message><source>The next photo of the list.</source><translation type="unfinished" /></message><message><source>Previous photo</source><translation>Voriges Foto</translation></message><message><source>The photo before.</source><translation type="unfinished" /></message><message><source>First photo</source><translation>Erstes Foto</translation></message><message><source>The first photo of the list.</source><translation type="unfinished" /></message><message><source>Last photo</source><translation>Letztes Foto</translation></message><message><source>The last photo of the list.</source><translation type="unfinished" /></message><message><source>Next unseen photo</source><translation>Nächstes ungesehenes Foto</translation></message><message><source>The next photo that nobody looked at.</source><translation type="unfinished" /></message><message><source>Next in review queue</source><translation>Nächstes zu prüfendes Foto</translation></message><message><source>The photo that needs you most.</source><translation type="unfinished" /></message><message><source>Back in review queue</source><translation>Zurück beim Prüfen</translation></message><message><source>The photo reviewed before.</source><translation type="unfinished" /></message><message><source>Next keypoint</source><translation>Nächster Keypoint</translation></message><message><source>Focus the next keypoint of the instance.</source><translation type="unfinished" /></message><message><source>Previous keypoint</source><translation>Voriger Keypoint</translation></message><message><source>Focus the keypoint before.</source><translation type="unfinished" /></message><message><source>Next instance</source><translation>Nächste Instanz</translation></message><message><source>Select the next instance of the photo.</source><translation type="unfinished" /></message><message><source>Previous instance</source><translation>Vorige Instanz</translation></message><message><source>Select the instance before.</source><translation type="unfinished" /></message><message><source>Next exemplar</source><translation>Nächstes Muster</translation></message><message><source>Another labelled photo in the source panel.</source><translation type="unfinished" /></message><message><source>Search photos</source><translation>Fotos suchen</translation></message><message><source>By name or with conf:&lt;0.5 kp:left_ear tag:x state:pending.</source><translation type="unfinished" /></message><message><source>Select</source><translation>Auswählen</translation></message><message><source>Focus and drag keypoints; drag empty ground to pan.</source><translation type="unfinished" /></message><message><source>Place keypoints; the next name is chosen for you. Right click: hidden.</source><translation type="unfinished" /></message><message><source>Box</source><translation>Rahmen</translation></message><message><source>Drag a box around an instance.</source><translation type="unfinished" /></message><message><source>Brush</source><translation>Pinsel</translation></message><message><source>Paint the mask; Ctrl takes away.</source><translation type="unfinished" /></message><message><source>Eraser</source><translation>Radierer</translation></message><message><source>Take away from the mask.</source><translation type="unfinished" /></message><message><source>Polygon</source><translation>Polygon</translation></message><message><source>Click the outline; Enter fills it.</source><translation type="unfinished" /></message><message><source>Pan</source><translation>Verschieben</translation></message><message><source>Drag the photo. Space does the same from any tool.</source><translation type="unfinished" /></message><message><source>Smaller brush</source><translation>Kleinerer Pinsel</translation></message><message><source>Shrink the brush.</source><translation type="unfinished" /></message><message><source>Larger brush</source><translation>Größerer Pinsel</translation></message><message><source>Grow the brush.</source><translation type="unfinished" /></message><message><source>New instance</source><translation>Neue Instanz</translation></message><message><source>Start another instance of the category in this photo.</source><translation type="unfinished" /></message><message><source>Drop whole template</source><translation>Ganze Vorlage ablegen</translation></message><message><source>Put all keypoints at once, then drag them.</source><translation type="unfinished" /></message><message><source>Mask from box</source><translation>Maske aus Rahmen</translation></message><message><source>Cut the selected box out in the background.</source><translation type="unfinished" /></message><message><source>Visible, hidden, absent</source><translation>Sichtbar, verdeckt, fehlt</translation></message><message><source>Cycle the visibility of the focused keypoint.</source><translation type="unfinished" /></message><message><source>Swap left and right</source><translation>Links und rechts tauschen</translation></message><message><source>Swap the sides of the selected instance.</source><translation type="unfinished" /></message><message><source>Mark as absent</source><translation>Als fehlend markieren</translation></message><message><source>The focused keypoint is not in the photo.</source><translation type="unfinished" /></message><message><source>Keypoint 1</source><translation type="unfinished" /></message><message><source>Focus this keypoint of the schema.</source><translation type="unfinished" /></message><message><source>Keypoint 2</source><translation type="unfinished" /></message><message><source>Keypoint 3</source><translation type="unfinished" /></message><message><source>Keypoint 4</source><translation type="unfinished" /></message><message><source>Keypoint 5</source><translation type="unfinished" /></message><message><source>Keypoint 6</source><translation type="unfinished" /></message><message><source>Keypoint 7</source><translation type="unfinished" /></message><message><source>Keypoint 8</source><translation type="unfinished" /></message><message><source>Keypoint 9</source><translation type="unfinished" /></message><message><source>Take peak 1</source><translation type="unfinished" /></message><message><source>Put the focused proposal on another peak.</source><translation type="unfinished" /></message><message><source>Take peak 2</source><translation type="unfinished" /></message><message><source>Take peak 3</source><translation type="unfinished" /></message><message><source>Accept</source><translation>Annehmen</translation></message><message><source>Accept the focused proposal and go to the next.</source><translation type="unfinished" /></message><message><source>Reject</source><translation>Ablehnen</translation></message><message><source>Reject the focused proposal; it is not proposed again.</source><translation type="unfinished" /></message><message><source>Accept all sure ones in the photo</source><translation>Alle sicheren im Foto annehmen</translation></message><message><source>Accept every proposal of this photo above the threshold.</source><translation type="unfinished" /></message><message><source>Reject the whole instance</source><translation>Die ganze Instanz ablehnen</translation></message><message><source>Reject all proposals of the selected instance.</source><translation type="unfinished" /></message><message><source>Accept all sure ones of the queue...</source><translation>Alle sicheren der Liste annehmen...</translation></message><message><source>Shows the count and the expected precision first.</source><translation type="unfinished" /></message><message><source>Nothing here</source><translation>Nichts zu sehen</translation></message><message><source>You looked: no instance of the category is in this photo.</source><translation type="unfinished" /></message><message><source>Try harder on this keypoint</source><translation>Diesen Keypoint gründlicher suchen</translation></message><message><source>Optimise a prompt for the focused keypoint on this photo.</source><translation type="unfinished" /></message><message><source>Propose keypoints</source><translation>Keypoints vorschlagen</translation></message><message><source>Propose the keypoints of the current category on all photos that need them.</source><translation type="unfinished" /></message><message><source>Propose on the photos of the list</source><translation>Für die Fotos der Liste vorschlagen</translation></message><message><source>Propose the current category on the photos that the list shows now (filter or search first).</source><translation type="unfinished" /></message><message><source>Check labels</source><translation>Beschriftungen prüfen</translation></message><message><source>Look for labels that are probably wrong; the review queue then shows the worst first.</source><translation type="unfinished" /></message><message><source>Propose all categories</source><translation>Alle Kategorien vorschlagen</translation></message><message><source>Propose every category that has an exemplar on all photos.</source><translation type="unfinished" /></message><message><source>Propose on this photo</source><translation>Für dieses Foto vorschlagen</translation></message><message><source>Propose on this photo now.</source><translation type="unfinished" /></message><message><source>Find this instance...</source><translation>Diese Instanz finden...</translation></message><message><source>Search the selected instance in the other photos.</source><translation type="unfinished" /></message><message><source>Tune the prompt...</source><translation>Prompt abstimmen...</translation></message><message><source>Fine-tune a prompt on the accepted instances.</source><translation type="unfinished" /></message><message><source>Pause</source><translation>Pause</translation></message><message><source>Pause or go on with the running job.</source><translation type="unfinished" /></message><message><source>Cancel job</source><translation>Auftrag abbrechen</translation></message><message><source>Stop the running job; what is finished stays.</source><translation type="unfinished" /></message><message><source>Label</source><translation>Beschriften</translation></message><message><source>The canvas.</source><translation type="unfinished" /></message><message><source>Part grid</source><translation>Teileraster</translation></message><message><source>One keypoint on many photos.</source><translation type="unfinished" /></message><message><source>Identities</source><translation>Individuen</translation></message><message><source>Confirmed above, suggested below.</source><translation type="unfinished" /></message><message><source>Statistics</source><translation>Statistik</translation></message><message><source>Progress, accuracy, calibration.</source><translation type="unfinished" /></message><message><source>Models...</source><translation>Modelle...</translation></message><message><source>Installed and available models.</source><translation type="unfinished" /></message><message><source>Keys of this view</source><translation>Tasten dieser Ansicht</translation></message><message><source>All keys that work here.</source><translation type="unfinished" /></message><message><source>Change shortcuts...</source><translation>Tasten ändern...</translation></message><message><source>Remap keys, choose a preset.</source><translation type="unfinished" /></message><message><source>Legend</source><translation>Legende</translation></message><message><source>What the marks mean.</source><translation type="unfinished" /></message><message><source>Doctor...</source><translation>Diagnose...</translation></message><message><source>What is installed and whether it works, to copy.</source><translation type="unfinished" /></message><message><source>About Kinmark</source><translation>Über Kinmark</translation></message><message><source>Version and licences.</source><translation type="unfinished" /></message></context></TS>